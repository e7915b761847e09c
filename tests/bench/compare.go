package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// bench is what measurements have to work with. Of the systems one runs at a
// time; the others are nil.
type bench struct {
	options
	binaries
	addrs addrs
	rotas *rotaCluster
	etcds *etcdCluster
	redis *redisServer
}

func (b *bench) note(format string, args ...any) { fmt.Fprintf(b.say, "    "+format+"\n", args...) }

func (b *bench) measure(ctx context.Context, l load) (result, error) {
	l.window = b.window()
	return l.run(ctx)
}

// outcome is what became of a contender over all repeats.
type outcome struct {
	results []result
	err     error // the first; then no number is shown
}

// compare measures the chosen rows and prints the table.
func compare(ctx context.Context, o options, out io.Writer) error {
	var chosen []row
	for _, r := range rows() {
		if o.only.MatchString(r.name) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("-only %q matches no row: -list lists them", o.only)
	}
	b := &bench{options: o}
	fmt.Fprintln(o.say, "building rota and etcd")
	var err error
	if b.binaries, err = build(ctx, o.dir, true); err != nil {
		return err
	}
	head, err := machine(ctx, o.dir)
	if err != nil {
		return err
	}
	outcomes, err := b.outcomes(ctx, chosen)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, head+table(chosen, outcomes))
	return err
}

// outcomes measures what the rows need, each system in turn and all of them
// again for every repeat, so that a busy minute of the machine falls on all.
func (b *bench) outcomes(ctx context.Context, chosen []row) (map[string]*outcome, error) {
	all := contenders(chosen)
	outcomes := make(map[string]*outcome)
	for _, c := range all {
		outcomes[c.name] = &outcome{}
	}
	for i := range b.repeat {
		for _, s := range []system{onRota, onEtcd, onRedis} {
			mine := slices.DeleteFunc(slices.Clone(all), func(c contender) bool { return c.on != s || outcomes[c.name].err != nil })
			if len(mine) == 0 {
				continue
			}
			fmt.Fprintf(b.say, "%d of %d: %s\n", i+1, b.repeat, [...]string{"rota", "etcd", "Redis"}[s])
			err := b.apart(func() error { return b.with(ctx, s, func() { b.each(ctx, mine, outcomes) }) })
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			for _, c := range mine {
				if err != nil && outcomes[c.name].err == nil {
					outcomes[c.name].err = err
				}
			}
		}
	}
	return outcomes, nil
}

func (b *bench) each(ctx context.Context, mine []contender, outcomes map[string]*outcome) {
	for _, c := range mine {
		if ctx.Err() != nil {
			return
		}
		r, err := c.run(ctx, b)
		if err != nil {
			outcomes[c.name].err = err
			fmt.Fprintf(b.say, "  %s: %v\n", c.name, err)
			continue
		}
		outcomes[c.name].results = append(outcomes[c.name].results, r)
		fmt.Fprintf(b.say, "  %s: %s/s, p50 %s, p99 %s\n", c.name, number(r.perSecond), latency(r.p50), latency(r.p99))
	}
}

// contenders are all that the rows need, each once.
func contenders(chosen []row) (all []contender) {
	add := func(c contender) {
		if c.run != nil && !slices.ContainsFunc(all, func(o contender) bool { return o.name == c.name }) {
			all = append(all, c)
		}
	}
	for _, r := range chosen {
		add(r.ours)
		for _, o := range r.rivals {
			add(o.contender)
		}
	}
	return all
}

// errNoRedis is no failure: what it concerns is left out.
var errNoRedis = errors.New("there is no redis-server: apt-get install redis-server")

// apart runs f with a directory of its own for data.
func (b *bench) apart(f func() error) (err error) {
	top := b.dir
	if b.dir, err = os.MkdirTemp(top, "run-"); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, os.RemoveAll(b.dir))
		b.dir = top
	}()
	return f()
}

// with runs f while a system runs, alone.
func (b *bench) with(ctx context.Context, s system, f func()) (err error) {
	switch s {
	case onRota:
		if b.rotas, err = startRota(ctx, b, replicas); err != nil {
			return err
		}
		defer b.rotas.close()
		if err := b.rotas.live(ctx, b, members); err != nil {
			return err
		}
	case onEtcd:
		if b.etcds, err = startEtcd(ctx, b); err != nil {
			return err
		}
		defer b.etcds.close()
	case onRedis:
		if b.binaries.redis == "" {
			return errNoRedis
		}
		if b.redis, err = startRedis(ctx, b); err != nil {
			return err
		}
		defer b.redis.close()
	}
	f()
	return nil
}
