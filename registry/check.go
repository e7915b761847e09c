package registry

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Check refuses what no state could accept, before it is proposed. Apply
// checks again, so that nothing depends on who proposed a command.
func Check(cmd Command) error {
	switch c := cmd.(type) {
	case TermStart:
		return c.Leader.Validate()
	case FoundCluster:
		return c.check()
	case SetReplica:
		return c.Replica.validate()
	case RegisterPool:
		return firstError(c.Spec.check(), validateBy(c.By))
	case UnregisterPool:
		return c.check()
	case RebalancePools:
		return validateBy(c.By)
	case RoundRobin:
		return c.check()
	case SetCursor:
		return c.check()
	case DeleteCursor:
		return firstError(c.Pool.Validate(), validateRRKey(c.Key), validateBy(c.By))
	case ForgetCursors:
		return c.By.Validate()
	case SetSettings:
		return c.check()
	case JoinNode:
		return c.check()
	case LeaveNode:
		return firstError(c.Name.Validate(), c.Boot.Validate(), validateReason(c.Reason))
	case AddNode:
		return firstError(c.Name.Validate(), c.Type.Validate(), validateAddress(c.Address), validateBy(c.By))
	case DrainNode:
		return firstError(c.Name.Validate(), validateReason(c.Reason), validateBy(c.By))
	case ForgetNode:
		return firstError(c.Name.Validate(), validateReason(c.Reason), validateBy(c.By))
	case ReportLiveness:
		return c.check()
	case OpenSession:
		return c.ID.Validate()
	}
	return Errorf(Unimplemented, "command %T is not known to this release", cmd)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func validateBy(by string) error     { return validateText("who asked", by, ReasonMax) }
func validateReason(r string) error  { return validateText("reason", r, ReasonMax) }
func validateAddress(a string) error { return validateText("address", a, AddressMax) }

// validateHostPort is for addresses that others dial: a host, or an IPv6
// address in brackets, and a port.
func validateHostPort(a string) error {
	if err := validateAddress(a); err != nil {
		return err
	}
	i := strings.LastIndexByte(a, ':')
	port, err := strconv.ParseUint(a[i+1:], 10, 16)
	host := a[:max(i, 0)]
	bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	if err != nil || port == 0 || host == "" || strings.Contains(host, " ") || (strings.Contains(host, ":") && !bracketed) {
		return Errorf(Invalid, "address %q is not host:port: give a name or an IP address and a port from 1 to 65535", clip(a))
	}
	return nil
}

// validateRRKey takes any text: keys are compared, never shown as topics.
func validateRRKey(key string) error {
	if len(key) > RRKeyMax {
		return Errorf(Invalid, "round-robin key %q has %d bytes, at most %d are allowed", clip(key), len(key), RRKeyMax)
	}
	if !utf8.ValidString(key) {
		return Errorf(Invalid, "round-robin key %q is not UTF-8", clip(key))
	}
	return nil
}

func (c FoundCluster) check() error {
	if err := c.ClusterID.Validate(); err != nil {
		return err
	}
	if len(c.Replicas) == 0 {
		return Errorf(Invalid, "cluster %s has no replicas: found it with at least one", c.ClusterID)
	}
	if len(c.Replicas) > ReplicasMax {
		return Errorf(Limit, "cluster %s has %d replicas, at most %d are allowed", c.ClusterID, len(c.Replicas), ReplicasMax)
	}
	for i, r := range c.Replicas {
		if err := r.validate(); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Replicas[:i], func(o Replica) bool { return o.Name == r.Name || o.StoreID == r.StoreID }) {
			return Errorf(Invalid, "replica %q is there twice, by name or by store id: give each its own", r.Name)
		}
	}
	return nil
}

func (r *Replica) validate() error {
	if err := firstError(r.Name.Validate(), r.StoreID.Validate()); err != nil {
		return err
	}
	for _, a := range []string{r.API, r.Raft, r.Gossip} {
		if a == "" { // not known yet
			continue
		}
		if err := validateHostPort(a); err != nil {
			return err
		}
	}
	return nil
}

func (c UnregisterPool) check() error {
	if slices.Contains(defaultPools(), c.Name) {
		return Errorf(Invalid, "pool %q is a default pool and stays: replace its spec instead", c.Name)
	}
	return firstError(c.Name.Validate(), validateBy(c.By))
}

// check holds for a spec as it is given, perhaps without a name or a topic. Of a
// name that is left out it refuses what no separator makes right: which one there
// is only the settings tell.
func (s Spec) check() error {
	if s.Name == "" && s.Topic == "" {
		return Errorf(Invalid, "pool has neither name nor topic: give at least one of them")
	}
	if s.Topic != "" {
		if err := validateTopic("pool topic", s.Topic); err != nil {
			return err
		}
	}
	if s.Name == "" {
		s.Name = lastSegment(s.Topic, "/")
		if dotted := lastSegment(s.Topic, "."); s.Name.Validate() != nil && dotted.Validate() == nil {
			s.Name = dotted
		}
	}
	if err := s.Name.Validate(); err != nil {
		return err
	}
	return s.checkRules()
}

func (s Spec) checkRules() error {
	if err := s.NodeType.Validate(); err != nil {
		return Errorf(Invalid, "pool %q: invalid pool node type: %v", s.Name, err)
	}
	if !s.NodeType.Poolable() {
		return Errorf(Invalid, "pool %q: invalid pool node type: %s cannot be pooled; use worker, proxy, logger or a type of your own",
			s.Name, s.NodeType)
	}
	if s.Exclusive && s.MaxNodes == nil {
		return Errorf(Invalid, "pool %q: max_nodes must be set when exclusive is", s.Name)
	}
	if s.MaxNodes != nil && *s.MaxNodes > MaxNodesMax {
		return Errorf(Invalid, "pool %q: max_nodes %d, at most %d is allowed; leave it out for all nodes", s.Name, *s.MaxNodes, MaxNodesMax)
	}
	if !s.Hash.Valid() {
		return Errorf(Invalid, "pool %q: hash %d is unknown: use zeek-7.1 or zeek-6.2", s.Name, s.Hash)
	}
	return nil
}

// Resolve fills in the name or the topic that was left out, as Apply does.
func (v *View) Resolve(s Spec) Spec {
	s = s.clone()
	if s.Name == "" {
		s.Name = lastSegment(s.Topic, v.settings.TopicSeparator)
	}
	if s.Topic == "" {
		s.Topic = v.settings.PoolTopicPrefix + Topic(s.Name)
	}
	return s
}

// lastSegment takes a topic as it is stored or as it is shown.
func lastSegment(t Topic, separator string) PoolName {
	return PoolName(t[strings.LastIndexAny(string(t), "/"+separator)+1:])
}

func (c RoundRobin) check() error {
	if len(c.Turns) == 0 {
		return Errorf(Invalid, "round robin without a turn: ask for at least one")
	}
	if len(c.Turns) > BatchTurnsMax {
		return Errorf(Limit, "round robin of %d turns, at most %d go into one batch", len(c.Turns), BatchTurnsMax)
	}
	answers := 0
	for i := range c.Turns {
		n, err := c.Turns[i].check()
		if err != nil {
			return err
		}
		if answers += n; answers > BatchAnswersMax {
			return Errorf(Limit, "round robin of more than %d answers: ask for fewer in one batch", BatchAnswersMax)
		}
	}
	return nil
}

// Validate says what is wrong with the request's identity, or nil; the zero
// value is one, too.
func (id RequestID) Validate() error {
	if err := id.Session.Validate(); err != nil {
		return Errorf(Invalid, "request: %v: OpenSession gives one", err)
	}
	if id.Serial == 0 {
		return Errorf(Invalid, "request of session %s: serial is 0: count from 1", id.Session)
	}
	if id.FirstUnacked > id.Serial {
		return Errorf(Invalid, "request %d of session %s: first_unacked is %d: it cannot be behind the request itself", id.Serial, id.Session, id.FirstUnacked)
	}
	return nil
}

// check gives the number of answers that the turn asks for.
func (t *Turn) check() (int, error) {
	if t.Request != (RequestID{}) {
		if err := t.Request.Validate(); err != nil {
			return 0, err
		}
	}
	if t.LogID != "" {
		return 1, validateText("log id", t.LogID, LogIDMax)
	}
	if t.Count < 1 {
		return 0, Errorf(Invalid, "turn of pool %q asks for %d answers: ask for at least 1", clip(string(t.Pool)), t.Count)
	}
	if t.Count > BatchAnswersMax {
		return 0, Errorf(Limit, "turn of pool %q asks for %d answers, at most %d are allowed", clip(string(t.Pool)), t.Count, BatchAnswersMax)
	}
	return t.Count, firstError(t.Pool.Validate(), validateRRKey(t.Key))
}

func (c SetCursor) check() error {
	if c.Next < 0 || c.Next >= MembersMax {
		return Errorf(Invalid, "cursor %q of pool %q cannot point at %d: members are counted from 0 to at most %d",
			clip(c.Key), clip(string(c.Pool)), c.Next, MembersMax-1)
	}
	return firstError(c.Pool.Validate(), validateRRKey(c.Key), validateBy(c.By))
}

func (c SetSettings) check() error {
	changed := DefaultSettings().with(c.Change)
	return firstError(changed.Validate(), validateBy(c.By))
}

func (c JoinNode) check() error {
	if err := firstError(c.Name.Validate(), c.Type.Validate(), c.Boot.Validate()); err != nil {
		return err
	}
	if c.Replaces != "" {
		if err := c.Replaces.Validate(); err != nil {
			return err
		}
	}
	if c.Address == "" {
		return Errorf(Invalid, "node %q has no address: give the host:port of its gossip", c.Name)
	}
	return firstError(validateHostPort(c.Address), validateBy(c.By))
}

func (c ReportLiveness) check() error {
	if len(c.Changes) > LivenessMax {
		return Errorf(Limit, "liveness report of %d changes, at most %d go into one", len(c.Changes), LivenessMax)
	}
	for i := range c.Changes {
		l := &c.Changes[i]
		if err := firstError(l.Name.Validate(), l.Boot.Validate(), validateReason(l.Reason), validateAddress(l.Address)); err != nil {
			return err
		}
		if l.State != Alive && l.State != Failed && l.State != Forgotten {
			return Errorf(Invalid, "node %q reported as %s: a leader finds nodes alive, failed or forgotten only", l.Name, l.State)
		}
	}
	return c.By.Validate()
}
