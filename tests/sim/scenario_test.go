package sim_test

import (
	"testing"
	"testing/synctest"
	"time"

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
