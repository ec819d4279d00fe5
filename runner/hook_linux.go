package runner

// checkHooks says before registering what would fail every job, or let jobs run
// that may not.
func (l *Life) checkHooks() error {
	doubt, err := CheckHooks(l.Environ, l.Home, l.Allowed != nil)
	if doubt != "" && l.Hook != "" {
		l.Log.Warn().Msg(doubt)
	}
	return err
}
