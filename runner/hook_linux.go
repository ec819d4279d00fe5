package runner

// checkHooks says before registering what would fail every job, or let jobs run
// that may not.
func (l *Life) checkHooks() error {
	var doubt string
	err := l.account.withItsRights(func() (err error) {
		doubt, err = CheckHooks(l.Environ, l.Home, l.Allowed != nil)
		return err
	})
	l.otherHook = doubt != ""
	if doubt != "" && l.Hook != "" {
		l.Log.Warn().Msg(doubt)
	}
	return err
}
