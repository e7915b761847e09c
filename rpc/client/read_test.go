package client_test

import (
	"testing"
	"testing/synctest"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

func TestHowFreshAReadMustBe(t *testing.T) {
	type freshness struct {
		consistency string
		index       uint64
	}
	const (
		linear  = "linearizable"
		atLeast = "at_least"
		local   = "local"
	)
	for _, test := range []struct {
		name     string
		standard registry.Consistency
		opts     []client.ReadOption
		want     freshness
	}{
		{"nothing said", registry.Linearizable, nil, freshness{linear, 0}},
		{"the client's own", registry.Local, nil, freshness{local, 0}},
		{"the read's own", registry.Local, []client.ReadOption{client.Linearizable()}, freshness{linear, 0}},
		{"an index", registry.Linearizable, []client.ReadOption{client.AtLeast(9)}, freshness{atLeast, 9}},
		{"an index and local", registry.Linearizable, []client.ReadOption{client.AtLeast(9), client.Local()}, freshness{local, 9}},
		{"the latest answer", registry.Linearizable, []client.ReadOption{client.AtLeast(0)}, freshness{atLeast, 7}},
		{"the latest answer, by default", registry.AtLeast, nil, freshness{atLeast, 7}},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := newEdge(t)
			a := e.serve("a:1", &replica{})
			c := e.client(client.Options{Consistency: test.standard}, "a:1")
			if _, err := c.Pool("p").RR(t.Context(), ""); err != nil { // at index 7
				t.Fatal(err)
			}
			if _, err := c.Pool("p").HRW(t.Context(), hrw.String("k"), test.opts...); err != nil {
				t.Fatal(err)
			}
			sent, _ := a.last().message.(*rotav1.HrwTopicRequest)
			if got := (freshness{sent.GetConsistency(), sent.GetAtLeastIndex()}); got != test.want {
				t.Errorf("%s: sent %v, want %v", test.name, got, test.want)
			}
		})
	}
}
