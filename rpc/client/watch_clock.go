package client

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tick is how far coarseClock lags behind, as long as its goroutine gets to
	// run.
	tick = 10 * time.Millisecond
	// stillMin is how long no tick came if this process stood still: stopped,
	// or starved beyond use.
	stillMin = time.Second
)

// coarseClock is a clock that costs nothing to read: reading the machine's
// takes half as long as an hrw. All watches of a Client share one, which runs
// while there are any. Its times are nanoseconds since it began.
type coarseClock struct {
	began time.Time
	last  atomic.Int64 // when it ticked last
	// stills counts how often the process has stood still.
	stills atomic.Int64

	mu struct {
		sync.Mutex
		users int
		stop  func() // ends the goroutine and waits for it
	}
}

// exact reads the machine's clock.
func (c *coarseClock) exact() int64 { return int64(time.Since(c.began)) }

// coarse is the time of the last tick.
func (c *coarseClock) coarse() int64 { return c.last.Load() }

// acquire makes it run until release is called as often.
func (c *coarseClock) acquire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.users++; c.mu.users > 1 {
		return
	}
	c.last.Store(c.exact())
	stop, done := make(chan struct{}), make(chan struct{})
	c.mu.stop = func() {
		close(stop)
		<-done
	}
	go func() {
		defer close(done)
		c.run(stop)
	}()
}

func (c *coarseClock) release() {
	c.mu.Lock()
	stop := c.mu.stop
	c.mu.users--
	last := c.mu.users == 0
	c.mu.Unlock()
	if last {
		stop()
	}
}

func (c *coarseClock) run(stop <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.advance(c.exact())
		case <-stop:
			return
		}
	}
}

func (c *coarseClock) advance(now int64) {
	if now-c.last.Load() > int64(stillMin) {
		c.stills.Add(1)
	}
	c.last.Store(now)
}

// stoodStill tells at now whether the process has stood still since stills had
// this value. It knows so before the ticks do: who asks may be the first to run
// again.
func (c *coarseClock) stoodStill(stills, now int64) bool {
	return c.stills.Load() != stills || now-c.last.Load() > int64(stillMin)
}
