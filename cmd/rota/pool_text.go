package main

import (
	"fmt"
	"strconv"

	"github.com/rota-registry/rota/registry"
)

// namesMost is how many names a cell of a table holds before it says how many
// more there are; JSON has them all.
const namesMost = 8

// poolTable shows pools, one a line.
func poolTable(pools ...registry.PoolInfo) string {
	t := newTable("POOL", "TYPE", "ELIGIBLE", "MAX", "EXCLUSIVE", "HASH", "TOPIC", "NOTE")
	for _, p := range pools {
		t.add(string(p.Spec.Name), string(p.Spec.NodeType), share(p.EligibleCount, len(p.Members)), maxNodes(p.Spec),
			yesNo(p.Spec.Exclusive), p.Spec.Hash.String(), string(p.Spec.Topic), unsatisfied(p.Satisfied, p.Reason))
	}
	return t.String()
}

// share is "eligible/members".
func share(part, whole int) string { return fmt.Sprintf("%d/%d", part, whole) }

func maxNodes(spec registry.Spec) string {
	if spec.MaxNodes == nil {
		return "all"
	}
	return decimal(*spec.MaxNodes)
}

func unsatisfied(satisfied bool, reason string) string {
	if satisfied {
		return ""
	}
	return "unsatisfied: " + reason
}

// poolSheet shows one pool: what it is, and its members in their order.
func poolSheet(p registry.PoolInfo) string {
	sheet := newTable()
	sheet.add("pool", string(p.Spec.Name))
	sheet.add("topic", string(p.Spec.Topic))
	sheet.add("type", string(p.Spec.NodeType))
	sheet.add("max nodes", maxNodes(p.Spec))
	sheet.add("exclusive", yesNo(p.Spec.Exclusive))
	sheet.add("hash", p.Spec.Hash.String())
	sheet.add("epoch", decimal(p.Epoch))
	sheet.add("members", fmt.Sprintf("%d, %d alive, %d eligible", len(p.Members), p.AliveCount, p.EligibleCount))
	if !p.Satisfied {
		sheet.add("unsatisfied", p.Reason)
	}
	members := newTable("MEMBER", "STATE", "ELIGIBLE", "SITE ID", "ALIAS", "TOPIC")
	for _, m := range p.Members {
		members.add(string(m.Name), m.State.String(), yesNo(m.Eligible), decimal(m.SiteID), m.Alias, m.Topic)
	}
	return sheet.String() + "\n" + members.String()
}

// cursorTable quotes keys, which may be empty or hold spaces.
func cursorTable(cursors []registry.Cursor) string {
	t := newTable("CURSOR", "NEXT", "NODE")
	for _, c := range cursors {
		t.add(strconv.Quote(c.Key), decimal(c.Next), string(c.Node))
	}
	return t.String()
}

// moveTable says of each pool who leaves and who joins. A pool whose members
// only change places has neither.
func moveTable(moves []registry.Move) string {
	t := newTable("POOL", "LEAVE", "JOIN", "NOTE")
	for _, m := range moves {
		leave, join, note := without(m.Before, m.After), without(m.After, m.Before), ""
		if len(leave)+len(join) == 0 {
			note = "same members in another order"
		}
		all := "rota pool rebalance -o json"
		t.add(string(m.Pool), few(leave, namesMost, all), few(join, namesMost, all), note)
	}
	return t.String()
}
