package registry

import "fmt"

// Warnings lists what an operator should look at, in a stable order: pools
// that lack nodes, members that an assignment by Zeek would move, and members
// that tie in hrw.
func (v *View) Warnings() []string {
	var list []string
	for _, p := range v.pools {
		if reason := p.unsatisfied(); reason != "" {
			list = append(list, fmt.Sprintf("pool %s is unsatisfied: %s", p.spec.Name, reason))
		}
	}
	for i, p := range v.rebalanced().pools { // Aliases count: hrw goes by them.
		if !p.sameAs(v.pools[i]) {
			list = append(list, fmt.Sprintf("pool %s differs from Zeek's assignment: `rota pool rebalance --dry-run` shows what would move", p.spec.Name))
		}
	}
	for _, p := range v.pools {
		list = append(list, p.ties()...)
	}
	return list
}

// ties names members whose site ids differ in bit 31 alone: weights are modulo
// 2^31, so such two tie on every key, and the smaller site id gets none.
func (p *pool) ties() []string {
	const bit31 = 1 << 31
	var list []string
	at := make(map[uint32]int, len(p.members))
	for i := range p.members {
		at[p.members[i].site] = i
	}
	for i := range p.members {
		larger, tied := at[p.members[i].site|bit31]
		if tied && larger != i {
			list = append(list, fmt.Sprintf("pool %s: members %s and %s tie on every hrw key, and %s gets none: rename one of them",
				p.spec.Name, p.members[i].name, p.members[larger].name, p.members[i].name))
		}
	}
	return list
}
