package sim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/sim"
)

// scenario runs a story on a new cluster in a bubble.
func scenario(t *testing.T, options sim.Options, story func(t *testing.T, c *sim.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { story(t, sim.New(t, options)) })
}

// F1
func TestAKilledLeaderIsReplacedAndComesBack(t *testing.T) {
	scenario(t, sim.Options{}, func(_ *testing.T, c *sim.Cluster) {
		c.StartAgents(3)
		dead := c.KillLeader()
		c.EventuallyServes(5 * time.Second)
		c.Start(dead)
		c.Recovers()
	})
}

// F9
func TestALeaderThatIsCutOffIsReplaced(t *testing.T) {
	scenario(t, sim.Options{}, func(_ *testing.T, c *sim.Cluster) {
		c.StartAgents(2)
		was := c.Leader()
		c.Cut(string(was.Name)).FromAll()
		c.Eventually(5*time.Second, "another leads", c.AnotherLeads(was))
		time.Sleep(time.Minute)
		c.Heal()
		c.Recovers()
	})
}

// A leader that hears late answers takes itself for the leader when the others
// have elected another one: what it is asked then it must not answer from what it
// has.
func TestADeposedLeaderThatDoesNotKnowAnswersNothingStale(t *testing.T) {
	const enough = 3
	deceived := 0
	for seed := uint64(0); seed < 30 && deceived < enough; seed++ {
		scenario(t, sim.Options{Seed: seed, Timings: replica.Timings{Lease: 500 * time.Millisecond}}, func(t *testing.T, c *sim.Cluster) {
			old := c.Leader()
			c.Deceive(old)
			c.Eventually(5*time.Second, "another leads", c.AnotherLeads(old))
			c.Write(c.Leader(), "new")
			written := time.Now()
			if old.Self().Role != "leader" {
				return // it knew: this time the others were slow
			}
			deceived++
			start := time.Now()
			was, err := old.Probe().Pool("worker").HRW(t.Context(), hrw.String("x"), client.Local())
			if missed := time.Since(written); err != nil || was.Age < missed {
				t.Errorf("a leader of the past says of its own state that it is %v old (%v), and lacks what was written %v ago", was.Age, err, missed)
			}
			_, err = old.Probe().Pool("new").HRW(t.Context(), hrw.String("x"))
			if registry.CodeOf(err) == registry.NotFound && err != nil {
				t.Errorf("a leader of the past answered that the pool is not there, %v after another one had registered it", time.Since(start))
			}
			c.Heal()
			c.Recovers()
		})
	}
	if deceived < enough {
		t.Errorf("%d leaders were deceived, and %d are wanted", deceived, enough)
	}
}

func TestAWorkloadOverAKilledLeader(t *testing.T) {
	scenario(t, sim.Options{}, func(t *testing.T, c *sim.Cluster) {
		c.StartAgents(3)
		w := c.Work(sim.Mix{Sessions: 2, Libraries: 2, Plain: 1, Readers: 2, Writers: 1, Pause: 20 * time.Millisecond}, 1)
		time.Sleep(2 * time.Second)
		dead := c.KillLeader()
		c.EventuallyServes(5 * time.Second)
		time.Sleep(2 * time.Second)
		c.Start(dead)
		c.Recovers()
		w.Stop()
		t.Logf("%+v", w.Judge())
	})
}
