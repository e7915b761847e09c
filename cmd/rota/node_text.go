package main

import (
	"fmt"

	"github.com/rota-registry/rota/registry"
)

// nodeTable shows nodes, one a line.
func nodeTable(nodes ...registry.NodeInfo) string {
	t := newTable("NODE", "TYPE", "STATE", "SINCE", "ADDRESS", "POOLS", "REASON")
	for _, n := range nodes {
		t.add(string(n.Name), string(n.Type), nodeState(n), wallTime(n.SinceWall), n.Address,
			few(n.Pools, namesMost, "rota node show "+string(n.Name)), nodeReason(n))
	}
	return t.String()
}

// nodeState is the state and the mark beside it.
func nodeState(n registry.NodeInfo) string {
	if n.Draining {
		return n.State.String() + ", draining"
	}
	return n.State.String()
}

// nodeReason is what an operator would want to read first.
func nodeReason(n registry.NodeInfo) string {
	if n.Draining && n.DrainReason != "" {
		return n.DrainReason
	}
	return n.Reason
}

// nodeSheet shows one node with all that is known of it.
func nodeSheet(n registry.NodeInfo) string {
	draining := yesNo(n.Draining)
	if n.Draining && n.DrainReason != "" {
		draining += ": " + n.DrainReason
	}
	id := ""
	if n.Boot != "" {
		id = n.ID()
	}
	t := newTable()
	t.add("node", string(n.Name))
	t.add("type", string(n.Type))
	t.add("state", n.State.String())
	t.add("since", fmt.Sprintf("%s, index %d", cell(wallTime(n.SinceWall)), n.Since))
	t.add("reason", n.Reason)
	t.add("by", n.By)
	t.add("draining", draining)
	t.add("eligible", yesNo(n.Eligible()))
	t.add("static", yesNo(n.Static))
	t.add("address", n.Address)
	t.add("node id", id)
	t.add("topic", n.Topic)
	t.add("node id topic", n.NodeIDTopic)
	t.add("pools", few(n.Pools, len(n.Pools), ""))
	return t.String()
}
