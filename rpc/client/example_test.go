package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
)

// Which worker handles a connection, and which logger gets the next batch.
func Example() {
	c, err := client.Dial([]string{"127.0.0.1:7700", "127.0.0.1:7710", "127.0.0.1:7720"}, client.Options{By: "dispatcher"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()

	key, err := hrw.Addr("192.0.2.7")
	if err != nil {
		log.Print(err)
		return
	}
	owner, err := c.Pool("worker").HRW(ctx, key)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		log.Print("there is no such pool: ", err)
	case err != nil:
		log.Print(err)
	case owner.Topic == "":
		log.Print("no worker can take it: ", owner.EmptyReason)
	default:
		fmt.Println(owner.Topic, "at epoch", owner.Epoch)
	}

	next, err := c.Pool("logger").RR(ctx, "")
	if errors.Is(err, registry.ErrOutcomeUnknown) {
		log.Print("a turn may have been skipped: ", err)
	} else if err == nil {
		fmt.Println(next.Topic)
	}

	// A read on any replica that sees at least the turn just taken.
	state, err := c.Pool("logger").Info(ctx, true, client.AtLeast(next.Index))
	if err == nil {
		fmt.Println(state.Cursors)
	}
}

// Turns for every record of a log: mostly without a request.
func ExamplePool_Prefetch() {
	c, err := client.Dial([]string{"127.0.0.1:7700"}, client.Options{By: "log writer"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	turns, err := c.Pool("logger").Prefetch("", 512, client.PrefetchOptions{})
	if err != nil {
		log.Print(err)
		return
	}
	defer turns.Close()
	for _, record := range []string{"conn 1", "conn 2", "conn 3"} {
		logger, err := turns.Next(context.Background())
		switch {
		case err != nil:
			log.Print(err)
		case logger.Topic == "":
			log.Print("no logger can take it: ", logger.EmptyReason)
		default:
			fmt.Println(record, "to", logger.Topic)
		}
	}
}

// A thousand goroutines that ask at the same time make few requests: their calls
// go together by themselves.
func ExamplePool_RR() {
	c, err := client.Dial([]string{"127.0.0.1:7700"}, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if next, err := c.Pool("worker").RR(context.Background(), ""); err == nil {
				fmt.Println(next.Topic)
			}
		})
	}
	all.Wait()
}

// A worker that keeps something for each of its keys. Its copy of the pool says
// which those are, without a call a key.
func ExamplePool_Watch() {
	c, err := client.Dial([]string{"127.0.0.1:7700", "127.0.0.1:7710", "127.0.0.1:7720"}, client.Options{By: "worker-1"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	pool, err := c.Pool("worker").Watch(context.Background())
	if err != nil {
		log.Print(err)
		return
	}
	defer pool.Close()

	kept := newKeeper()
	me := pool.As("worker-1")
	stop := me.Follow(client.ShareEvents{
		// Others may have had them while this worker was not looking.
		OnGap:  func(c client.ShareChange) { kept.refresh(c.Moved) },
		OnLose: func(c client.ShareChange) { kept.drop(c.Moved) },
		OnGain: func(c client.ShareChange) {
			log.Printf("at epoch %d, %.1f %% of all keys came: %v", c.To, 100*c.Share, c.Others)
		},
	})
	defer stop()

	key := hrw.String("192.0.2.7")
	if mine, epoch := me.IsMine(key); mine && pool.Age() < 5*time.Second {
		kept.work(key, epoch) // the epoch goes with the result, to whoever stores it
	}
}

// keeper stands for what a worker holds.
type keeper struct{}

func newKeeper() keeper { return keeper{} }

func (keeper) refresh(func(hrw.Key) bool)   {}
func (keeper) drop(func(hrw.Key) bool)      {}
func (keeper) work(hrw.Key, registry.Epoch) {}
