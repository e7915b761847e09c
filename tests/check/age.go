package check

import (
	"sort"
	"time"

	"github.com/rota-registry/rota/registry"
)

// ageGrain is what an age is told in: it may be so much too low.
const ageGrain = time.Millisecond

// aged holds local answers against the age that they say they have: each has what was
// answered before its call less that age.
func (r *replay) aged(ops []Operation) {
	returned := byReturn(ops)
	newest := make([]*Operation, 0, len(returned)) // of those up to a place
	for i, o := range returned {
		if i > 0 && newest[i-1].Index > o.Index {
			o = newest[i-1]
		}
		newest = append(newest, o)
	}
	for i := range ops {
		o := &ops[i]
		if o.Outcome != OK || o.Consistency != registry.Local || o.Age == Never {
			continue
		}
		least := o.Called - o.Age - ageGrain
		n := sort.Search(len(returned), func(i int) bool { return returned[i].Returned >= least })
		if n > 0 && newest[n-1].Index > o.Index {
			r.faults.add("age", "%s: says that it is %s old at most, and lacks what was answered longer ago: %s", o, o.Age, newest[n-1])
		}
	}
}
