package registry

// State is the registry: a View, and what is changed in place beside it.
//
// A command that changes the View writes new records and new slices into a copy
// (see draft), which replaces it when nothing was refused. So what is refused
// has changed nothing, before and after can be compared, and whoever was given
// a View keeps it.
type State struct {
	View
	cursors  *cursorTable
	sessions *sessionTable
}

// NewState returns the state before the first command: default settings and
// the three default pools.
func NewState() *State {
	s := &State{View: View{settings: DefaultSettings()}, cursors: newCursorTable(), sessions: newSessionTable()}
	for _, name := range defaultPools() {
		spec := Spec{Name: name, NodeType: NodeType(name)}
		spec.Topic = s.settings.PoolTopicPrefix + Topic(name)
		s.pools = append(s.pools, newPool(spec))
	}
	return s
}

// defaultPools are there from the first start, sorted by name. Each is named
// like the type of its nodes.
func defaultPools() []PoolName {
	return []PoolName{PoolName(Logger), PoolName(Proxy), PoolName(Worker)}
}
