package runner

import "testing"

var allStates = States()

func TestMachineAllowsItsTableAndNothingElse(t *testing.T) {
	for _, from := range allStates {
		legal := map[State]bool{from: true}
		for _, to := range transitions[from] {
			legal[to] = true
		}
		for _, to := range allStates {
			m := newMachine(func(State, State, string) {})
			m.state = from
			func() {
				defer func() {
					if fault := recover(); (fault == nil) != legal[to] {
						t.Errorf("%s -> %s: recovered %v, legal %v", from, to, fault, legal[to])
					}
				}()
				m.to(to, "")
				if now, _, _ := m.current(); now != to {
					t.Errorf("%s -> %s ended in %s", from, to, now)
				}
			}()
		}
	}
}

// Every state can be left by a stop, and every life can end.
func TestEveryStateEnds(t *testing.T) {
	if len(transitions) != len(allStates) {
		t.Fatalf("the table has %d states, the list %d", len(transitions), len(allStates))
	}
	for _, from := range allStates {
		reached := map[State]bool{from: true}
		for grew := true; grew; {
			grew = false
			for state := range reached {
				for _, next := range transitions[state] {
					grew = grew || !reached[next]
					reached[next] = true
				}
			}
		}
		if !reached[Stopped] {
			t.Errorf("%s never ends", from)
		}
		if from != Draining && from != Stopped && !reached[Draining] {
			t.Errorf("%s cannot be stopped", from)
		}
	}
}
