package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/procs"
)

// curl asks a replica as curl does. It gives no answer but an error while the
// replica cannot say what became of the request.
func curl(r *procs.Replica, method, body string) (map[string]any, error) {
	asker := &http.Client{Timeout: 2 * time.Second}
	res, err := asker.Post("http://"+r.API+"/rota.v1.RegistryService/"+method, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s by %s: %d %v", method, r.Name, res.StatusCode, answer)
	}
	delete(answer, "servedBy")
	return answer, nil
}

// TestOneRequestStormedOverAllReplicas: every replica is asked for one and the
// same turn at once and again and again, by plain HTTP, while the leader is
// killed and comes back, and after all have been killed: it is one turn, and the
// answer is always the one of the first time, index and term included.
func TestOneRequestStormedOverAllReplicas(t *testing.T) {
	c := workers(t)
	var opened map[string]any
	procs.Eventually(t, back, func() (err error) {
		opened, err = curl(c.Replicas[0], "OpenSession", "{}")
		return err
	})
	body := fmt.Sprintf(`{"pool":"worker","key":"storm","count":2,"request":{"session":%q,"serial":"1"}}`, opened["session"])
	var mu sync.Mutex
	var first string
	same := func(answer map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		if first == "" {
			first = fmt.Sprint(answer)
		}
		if got := fmt.Sprint(answer); got != first {
			t.Errorf("answered %s and %s", first, got)
		}
	}
	storm := func() {
		var askers sync.WaitGroup
		for _, r := range c.Replicas {
			askers.Go(func() {
				last := time.Now().Add(procs.Ready)
				for answered := 0; answered < 10 && r.Running(); {
					answer, err := curl(r, "RrTopics", body)
					if err == nil {
						same(answer)
						answered++
					} else if time.Now().After(last) {
						t.Errorf("%s has answered %d times: %v", r.Name, answered, err)
						return
					}
				}
			})
		}
		askers.Wait()
	}
	leader := c.Leader(back)
	var killing sync.WaitGroup
	killing.Go(storm)
	leader.Kill()
	killing.Wait()
	leader.Start()
	c.AwaitReady(back)
	storm()
	for _, r := range c.Replicas {
		r.Kill()
	}
	for _, r := range c.Replicas {
		r.Start()
	}
	c.AwaitReady(procs.Ready)
	storm()
	pool := c.Client().Pool("worker")
	next := await(t, back, func(ctx context.Context) (client.Answer, error) { return pool.RR(ctx, "storm") })
	if next.Node != "worker-3" {
		t.Errorf("the first answer is %s, the next turn %s's; want worker-3's, behind one request of two turns", first, next.Node)
	}
}
