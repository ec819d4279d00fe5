package main

import (
	"fmt"
	"strings"
	"unicode"
)

// status is what the conditions of a job's steps ask for.
type status struct{ failed, cancelled bool }

// met evaluates a step's `if`. As the official worker does, it adds success()
// where no status function stands, and logs the values of a condition as they
// are: text of others, carriage returns included.
func met(condition string, s status) (bool, error) {
	if condition == "" {
		condition = "success()"
	}
	e := evaluation{rest: condition, status: s}
	value, err := e.or()
	if err == nil && strings.TrimSpace(e.rest) != "" {
		err = fmt.Errorf("unexpected %q", e.rest)
	}
	if err != nil {
		return false, fmt.Errorf("the condition %q: %w", condition, err)
	}
	if !e.asked {
		value = truth(value) && !s.failed && !s.cancelled
	}
	term.trace("EvaluationTraceWriter", "Evaluating: %s", condition)
	term.trace("EvaluationTraceWriter", "Expanded: %s", condition)
	term.trace("EvaluationTraceWriter", "Result: %t", truth(value))
	return truth(value), nil
}

func truth(value any) bool { return value != false && value != "" }

// evaluation reads an expression of always, success, failure, cancelled,
// contains, true, false and texts, with !, &&, || and parentheses.
type evaluation struct {
	rest   string
	status status
	asked  bool // for the job's status
}

func (e *evaluation) takes(token string) bool {
	e.rest = strings.TrimLeftFunc(e.rest, unicode.IsSpace)
	rest, ok := strings.CutPrefix(e.rest, token)
	if ok {
		e.rest = rest
	}
	return ok
}

func (e *evaluation) or() (value any, err error) {
	for value, err = e.and(); err == nil && e.takes("||"); {
		var right any
		if right, err = e.and(); !truth(value) {
			value = right
		}
	}
	return value, err
}

func (e *evaluation) and() (value any, err error) {
	for value, err = e.unary(); err == nil && e.takes("&&"); {
		var right any
		if right, err = e.unary(); truth(value) {
			value = right
		}
	}
	return value, err
}

func (e *evaluation) unary() (any, error) {
	switch {
	case e.takes("!"):
		value, err := e.unary()
		return !truth(value), err
	case e.takes("("):
		value, err := e.or()
		if err == nil && !e.takes(")") {
			err = fmt.Errorf("a ) is missing before %q", e.rest)
		}
		return value, err
	case e.takes("'"):
		return e.text()
	case e.takes("contains("):
		return e.contains()
	}
	for name, value := range map[string]bool{
		"always()": true, "success()": !e.status.failed && !e.status.cancelled,
		"failure()": e.status.failed && !e.status.cancelled, "cancelled()": e.status.cancelled,
	} {
		if e.takes(name) {
			e.asked = true
			return value, nil
		}
	}
	for name, value := range map[string]bool{"true": true, "false": false} {
		if e.takes(name) {
			return value, nil
		}
	}
	return nil, fmt.Errorf("unexpected %q", e.rest)
}

// text reads up to the closing quote; two quotes are one.
func (e *evaluation) text() (any, error) {
	var text strings.Builder
	for {
		part, rest, ok := strings.Cut(e.rest, "'")
		if !ok {
			return nil, fmt.Errorf("a ' is missing after %q", e.rest)
		}
		text.WriteString(part)
		if e.rest = rest; !strings.HasPrefix(rest, "'") {
			return text.String(), nil
		}
		text.WriteByte('\'')
		e.rest = rest[1:]
	}
}

func (e *evaluation) contains() (any, error) {
	text, err := e.or()
	if err == nil && !e.takes(",") {
		err = fmt.Errorf("a comma is missing before %q", e.rest)
	}
	if err != nil {
		return nil, err
	}
	part, err := e.or()
	if err == nil && !e.takes(")") {
		err = fmt.Errorf("a ) is missing before %q", e.rest)
	}
	return strings.Contains(strings.ToLower(fmt.Sprint(text)), strings.ToLower(fmt.Sprint(part))), err
}
