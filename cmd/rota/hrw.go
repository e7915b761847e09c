package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// hrwFlags are the flags of rota hrw.
type hrwFlags struct {
	keyType string
	best    int
	explain bool
	fresh   freshness
}

func newHrwCommand(a *app) *cobra.Command {
	f := &hrwFlags{}
	cmd := &cobra.Command{
		Use:   "hrw POOL KEY",
		Short: "Say which node of a pool a key belongs to",
		Long: `Say which node of a pool a key belongs to, as Zeek's Cluster::hrw_topic does, by
its topic alone, so that scripts can use it. -k ranks the best nodes, --explain
shows every member with its weight. Exit code 6: no node is eligible.

A key hashes by its type (--type):
  string    as it is, the default      double    123.0
  bytes     hex digits, 00ff           time      seconds since 1970, 0.0
  count     42                         interval  seconds, 90061.0
  int       -1 (behind --)             enum      'Log::ID Conn::LOG'
  bool      T or F                     port      80/tcp
  addr      10.0.0.1                   subnet    192.168.1.0/24
  digest    3214735720, of a key that you have hashed`,
		Example: `  rota hrw worker foobar
  rota hrw proxy 10.0.0.1 --type addr
  rota hrw worker foobar -k 2
  rota hrw worker 42 --type count --explain
  rota hrw worker --type int -- -1
  rota hrw logger 'Log::ID Conn::LOG' --type enum --consistency local`,
		Args:              takes("POOL", "KEY"),
		ValidArgsFunction: a.completeFirst(poolNames),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.hrw(cmd, f, args[0], args[1]) },
	}
	cmd.Flags().StringVar(&f.keyType, "type", "string", "the key's type")
	cmd.Flags().IntVarP(&f.best, "best", "k", 1, "rank this many of the best eligible nodes, at most 64")
	cmd.Flags().BoolVar(&f.explain, "explain", false, "show every member with its weight, best first")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return explainDash(err) })
	f.fresh.addFlags(cmd)
	complete(cmd, "type", hrw.KeyTypes()...)
	return cmd
}

// explainDash says how to give a key that looks like a flag.
func explainDash(err error) error {
	if _, unknown := errors.AsType[*pflag.NotExistError](err); unknown {
		return fmt.Errorf("%w: a KEY that begins with - goes behind --, as in rota hrw worker --type int -- -1", err)
	}
	return err
}

func (a *app) hrw(cmd *cobra.Command, f *hrwFlags, pool, text string) error {
	key, err := hrw.ParseKey(f.keyType, text)
	if err != nil {
		return usagef("%w", err)
	}
	if f.best < 1 || f.best > registry.RankMax {
		return usagef("-k %d: give 1 to %d, or --explain for all members", f.best, registry.RankMax)
	}
	if f.explain && cmd.Flags().Changed("best") {
		return usagef("-k and --explain exclude each other: --explain shows all members")
	}
	opts, err := f.fresh.options(cmd)
	if err != nil {
		return err
	}
	return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
		asked := c.Pool(registry.PoolName(pool))
		if !f.explain && !cmd.Flags().Changed("best") {
			return a.choose(ctx, asked, f, key, opts)
		}
		return a.rank(ctx, asked, f, key, opts)
	})
}

func (a *app) choose(ctx context.Context, pool *client.Pool, f *hrwFlags, key hrw.Key, opts []client.ReadOption) error {
	answer, err := pool.HRW(ctx, key, opts...)
	if err != nil {
		return err
	}
	f.fresh.sayAge(a, answer.Served)
	err = a.emit(&rotav1.HrwTopicResponse{
		Topic: answer.Topic, Node: string(answer.Node), EmptyReason: answer.EmptyReason.String(), Epoch: uint64(answer.Epoch),
		Index: uint64(answer.Index), Term: uint64(answer.Term), ServedBy: string(answer.ServedBy), AgeMs: f.fresh.age(answer.Served),
	}, lines(answer.Topic))
	return cmp.Or(err, emptyAnswer(pool.Name(), answer.EmptyReason))
}

func (a *app) rank(ctx context.Context, pool *client.Pool, f *hrwFlags, key hrw.Key, opts []client.ReadOption) error {
	var ranking client.Ranking
	var err error
	if f.explain {
		ranking, err = pool.Explain(ctx, key, opts...)
	} else {
		ranking, err = pool.Rank(ctx, key, f.best, opts...)
	}
	if err != nil {
		return err
	}
	f.fresh.sayAge(a, ranking.Served)
	text := rankTable(ranking.Entries)
	if f.explain {
		text = explainTable(ranking.Entries)
		if a.format == formatTable {
			a.say("digest of the key under the pool's hash: %d (%#08x)", ranking.Digest, ranking.Digest)
		}
	}
	err = a.emit(&rotav1.RankNodesResponse{
		Ranking: wire.ToRanking(ranking.Entries), Epoch: uint64(ranking.Epoch), Digest: ranking.Digest,
		Index: uint64(ranking.Index), Term: uint64(ranking.Term), ServedBy: string(ranking.ServedBy), AgeMs: f.fresh.age(ranking.Served),
	}, text)
	return cmp.Or(err, emptyRanking(pool.Name(), ranking.Entries, f.explain))
}

func rankTable(entries []registry.Ranked) string {
	t := newTable("RANK", "NODE", "WEIGHT", "SITE ID", "TOPIC")
	for i, e := range entries {
		t.add(decimal(i+1), string(e.Node), decimal(e.Weight), decimal(e.SiteID), e.Topic)
	}
	return t.String()
}

// explainTable marks the winner: the first, best weight first, that is
// eligible.
func explainTable(entries []registry.Ranked) string {
	t := newTable("NODE", "WEIGHT", "SITE ID", "ELIGIBLE", "WINNER")
	won := false
	for _, e := range entries {
		mark := ""
		if e.Eligible && !won {
			mark, won = "winner", true
		}
		t.add(string(e.Node), decimal(e.Weight), decimal(e.SiteID), yesNo(e.Eligible), mark)
	}
	return t.String()
}

// emptyRanking is the error of a ranking without an eligible node. A ranking
// of all members tells when there are none; one of the best has no others in
// it, and cannot.
func emptyRanking(pool registry.PoolName, entries []registry.Ranked, all bool) error {
	if all && len(entries) == 0 {
		return emptyAnswer(pool, registry.NoMembers)
	}
	for _, e := range entries {
		if e.Eligible {
			return nil
		}
	}
	return nothingEligible(string(pool), fmt.Sprintf("none of its members is alive and not draining: see `rota pool show %s`", pool))
}

// emptyAnswer is the error of an answer that names nobody; nil of any other.
func emptyAnswer(pool registry.PoolName, reason registry.EmptyReason) error {
	switch reason {
	case registry.NotEmpty:
		return nil
	case registry.NoMembers:
		return nothingEligible(string(pool), fmt.Sprintf("it has no members (%s): see `rota node list` and `rota pool show %s`", reason, pool))
	case registry.AllDraining:
		return nothingEligible(string(pool), fmt.Sprintf("all that are alive are draining (%s): see `rota pool show %s` and `rota node undrain --help`", reason, pool))
	default:
		return nothingEligible(string(pool), fmt.Sprintf("none of its members is alive (%s): see `rota pool show %s`", reason, pool))
	}
}
