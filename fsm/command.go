package fsm

import (
	"fmt"
	"slices"

	"github.com/rota-registry/rota/registry"
	"google.golang.org/protobuf/encoding/protowire"
)

// numbers of the commands in the log: append only, never reuse.
const (
	numTermStart      = 1
	numFoundCluster   = 2
	numSetReplica     = 3
	numRegisterPool   = 4
	numUnregisterPool = 5
	numRebalancePools = 6
	numRoundRobin     = 7
	numSetCursor      = 8
	numDeleteCursor   = 9
	numSetSettings    = 10
	numJoinNode       = 11
	numLeaveNode      = 12
	numAddNode        = 13
	numDrainNode      = 14
	numForgetNode     = 15
	numReportLiveness = 16
	numOpenSession    = 17
	// numRequests is a RoundRobin with a request in it; 7 is one with none, as
	// it was before there were sessions.
	numRequests = 18
	// numForgetting is a ReportLiveness that forgets a node; 16 is one that does
	// not, as it was before nodes were forgotten by time.
	numForgetting    = 19
	numForgetCursors = 20
)

// encodeEntry gives an entry without its CRC.
func encodeEntry(e *Entry) ([]byte, error) {
	switch c := e.Command.(type) {
	case registry.TermStart:
		return encoded(e, numTermStart, &c, termStart), nil
	case registry.FoundCluster:
		return encoded(e, numFoundCluster, &c, foundCluster), nil
	case registry.SetReplica:
		return encoded(e, numSetReplica, &c, setReplica), nil
	case registry.RegisterPool:
		return encoded(e, numRegisterPool, &c, registerPool), nil
	case registry.UnregisterPool:
		return encoded(e, numUnregisterPool, &c, unregisterPool), nil
	case registry.RebalancePools:
		return encoded(e, numRebalancePools, &c, rebalancePools), nil
	case registry.RoundRobin:
		return encodeTurns(e, &c), nil
	case registry.SetCursor:
		return encoded(e, numSetCursor, &c, setCursor), nil
	case registry.DeleteCursor:
		return encoded(e, numDeleteCursor, &c, deleteCursor), nil
	case registry.ForgetCursors:
		return encoded(e, numForgetCursors, &c, forgetCursors), nil
	case registry.SetSettings:
		return encoded(e, numSetSettings, &c, setSettings), nil
	case registry.JoinNode:
		return encoded(e, numJoinNode, &c, joinNode), nil
	case registry.LeaveNode:
		return encoded(e, numLeaveNode, &c, leaveNode), nil
	case registry.AddNode:
		return encoded(e, numAddNode, &c, addNode), nil
	case registry.DrainNode:
		return encoded(e, numDrainNode, &c, drainNode), nil
	case registry.ForgetNode:
		return encoded(e, numForgetNode, &c, forgetNode), nil
	case registry.ReportLiveness:
		if slices.ContainsFunc(c.Changes, forgets) {
			return encoded(e, numForgetting, &c, reportLiveness), nil
		}
		return encoded(e, numReportLiveness, &c, reportLiveness), nil
	case registry.OpenSession:
		return encoded(e, numOpenSession, &c, openSession), nil
	}
	return nil, fmt.Errorf("command %T has no number in the log", e.Command)
}

// encoded gives the entry of a command with that number.
func encoded[T registry.Command](e *Entry, num uint64, c *T, visit func(*walk, *T)) []byte {
	w := &walk{b: appendHead(make([]byte, 0, shortMax), num, e)}
	visit(w, c)
	return w.b
}

// decodeCommand gives the command of a number and a body.
func decodeCommand(number uint64, body []byte) (registry.Command, error) {
	switch number {
	case numTermStart:
		return decoded(body, termStart)
	case numFoundCluster:
		return decoded(body, foundCluster)
	case numSetReplica:
		return decoded(body, setReplica)
	case numRegisterPool:
		return decoded(body, registerPool)
	case numUnregisterPool:
		return decoded(body, unregisterPool)
	case numRebalancePools:
		return decoded(body, rebalancePools)
	case numRoundRobin:
		return decoded(body, roundRobin)
	case numSetCursor:
		return decoded(body, setCursor)
	case numDeleteCursor:
		return decoded(body, deleteCursor)
	case numSetSettings:
		return decoded(body, setSettings)
	case numJoinNode:
		return decoded(body, joinNode)
	case numLeaveNode:
		return decoded(body, leaveNode)
	case numAddNode:
		return decoded(body, addNode)
	case numDrainNode:
		return decoded(body, drainNode)
	case numForgetNode:
		return decoded(body, forgetNode)
	case numReportLiveness, numForgetting:
		return decoded(body, reportLiveness)
	case numOpenSession:
		return decoded(body, openSession)
	case numRequests:
		return decoded(body, requests)
	case numForgetCursors:
		return decoded(body, forgetCursors)
	}
	return nil, fmt.Errorf("command number %d is unknown: written by a newer release", number)
}

func decoded[T registry.Command](body []byte, visit func(*walk, *T)) (registry.Command, error) {
	var c T
	if err := decode(body, &c, visit); err != nil {
		return nil, fmt.Errorf("%T: %w", c, err)
	}
	return c, nil
}

func termStart(w *walk, c *registry.TermStart) { text(w, 1, &c.Leader) }

func foundCluster(w *walk, c *registry.FoundCluster) {
	text(w, 1, &c.ClusterID)
	list(w, 2, &c.Replicas, replica)
}

func setReplica(w *walk, c *registry.SetReplica) { message(w, 1, &c.Replica, replica) }

func replica(w *walk, r *registry.Replica) {
	text(w, 1, &r.Name)
	text(w, 2, &r.StoreID)
	text(w, 3, &r.API)
	text(w, 4, &r.Raft)
	text(w, 5, &r.Gossip)
}

func registerPool(w *walk, c *registry.RegisterPool) {
	message(w, 1, &c.Spec, spec)
	flag(w, 2, &c.Replace)
	flag(w, 3, &c.RequireNodes)
	text(w, 4, &c.By)
}

func spec(w *walk, s *registry.Spec) {
	text(w, 1, &s.Name)
	text(w, 2, &s.Topic)
	word(w, 3, &s.NodeType)
	optional(w, 4, &s.MaxNodes, number[uint32])
	flag(w, 5, &s.Exclusive)
	number(w, 6, &s.Hash)
}

func unregisterPool(w *walk, c *registry.UnregisterPool) {
	text(w, 1, &c.Name)
	text(w, 2, &c.By)
}

func rebalancePools(w *walk, c *registry.RebalancePools) { text(w, 1, &c.By) }

// encodeTurns gives turns without requests the number that they always had.
func encodeTurns(e *Entry, c *registry.RoundRobin) []byte {
	for i := range c.Turns {
		if c.Turns[i].Request != (registry.RequestID{}) {
			return encoded(e, numRequests, c, requests)
		}
	}
	return encoded(e, numRoundRobin, c, roundRobin)
}

func roundRobin(w *walk, c *registry.RoundRobin) { list(w, 1, &c.Turns, turn) }

func turn(w *walk, t *registry.Turn) {
	word(w, 1, &t.Pool)
	word(w, 2, &t.Key)
	number(w, 3, &t.Count)
	word(w, 4, &t.LogID)
}

func requests(w *walk, c *registry.RoundRobin) { list(w, 1, &c.Turns, request) }

func request(w *walk, t *registry.Turn) {
	turn(w, t)
	word(w, 5, &t.Request.Session)
	number(w, 6, &t.Request.Serial)
	number(w, 7, &t.Request.FirstUnacked)
}

func openSession(w *walk, c *registry.OpenSession) { text(w, 1, &c.ID) }

func setCursor(w *walk, c *registry.SetCursor) {
	text(w, 1, &c.Pool)
	text(w, 2, &c.Key)
	number(w, 3, &c.Next)
	text(w, 4, &c.By)
}

func deleteCursor(w *walk, c *registry.DeleteCursor) {
	text(w, 1, &c.Pool)
	text(w, 2, &c.Key)
	text(w, 3, &c.By)
}

func forgetCursors(w *walk, c *registry.ForgetCursors) { text(w, 1, &c.By) }

func setSettings(w *walk, c *registry.SetSettings) {
	message(w, 1, &c.Change, settingsChange)
	text(w, 2, &c.By)
}

func settingsChange(w *walk, c *registry.SettingsChange) {
	optional(w, 1, &c.NodeTopicPrefix, text[registry.Topic])
	optional(w, 2, &c.NodeIDTopicPrefix, text[registry.Topic])
	optional(w, 3, &c.PoolTopicPrefix, text[registry.Topic])
	optional(w, 4, &c.LogTopicPrefix, text[registry.Topic])
	optional(w, 5, &c.TopicSeparator, text[string])
	optional(w, 6, &c.ManagerIsLogger, number[registry.ManagerIsLogger])
	optional(w, 7, &c.EnableRoundRobinLogging, flagField)
	optional(w, 8, &c.Assignment, number[registry.Assignment])
	optional(w, 9, &c.NodeTypes, texts[registry.NodeType])
	optional(w, 10, &c.FailedRetention, number[registry.Millis])
	optional(w, 11, &c.LeftRetention, number[registry.Millis])
}

func flagField(w *walk, num protowire.Number, p *bool) { flag(w, num, p) }

func joinNode(w *walk, c *registry.JoinNode) {
	text(w, 1, &c.Name)
	text(w, 2, &c.Type)
	text(w, 3, &c.Address)
	text(w, 4, &c.Boot)
	text(w, 5, &c.Replaces)
	text(w, 6, &c.By)
}

func leaveNode(w *walk, c *registry.LeaveNode) {
	text(w, 1, &c.Name)
	text(w, 2, &c.Boot)
	text(w, 3, &c.Reason)
}

func addNode(w *walk, c *registry.AddNode) {
	text(w, 1, &c.Name)
	text(w, 2, &c.Type)
	text(w, 3, &c.Address)
	text(w, 4, &c.By)
}

func drainNode(w *walk, c *registry.DrainNode) {
	text(w, 1, &c.Name)
	flag(w, 2, &c.Draining)
	text(w, 3, &c.Reason)
	text(w, 4, &c.By)
}

func forgetNode(w *walk, c *registry.ForgetNode) {
	text(w, 1, &c.Name)
	text(w, 2, &c.Reason)
	text(w, 3, &c.By)
}

func forgets(l registry.Liveness) bool { return l.State == registry.Forgotten }

func reportLiveness(w *walk, c *registry.ReportLiveness) {
	list(w, 1, &c.Changes, liveness)
	text(w, 2, &c.By)
}

func liveness(w *walk, l *registry.Liveness) {
	text(w, 1, &l.Name)
	text(w, 2, &l.Boot)
	number(w, 3, &l.State)
	number(w, 4, &l.Since)
	word(w, 5, &l.Reason)
	text(w, 6, &l.Address)
}
