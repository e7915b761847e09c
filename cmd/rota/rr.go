package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

func newRrCommand(a *app) *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "rr POOL [KEY]",
		Short: "Say whose turn it is in a pool, and move on",
		Long: `Say whose turn it is in a pool, as Zeek's Cluster::rr_topic does, one topic a
line, and move the cursor. Each KEY has a rotation of its own; the empty one is
usual. -n takes several turns in one step. Exit code 6: no node is eligible, and
the cursor has not moved. Exit code 7: a turn may have been taken, whose answer
is lost.`,
		Example: `  rota rr worker
  rota rr proxy intel
  rota rr worker -n 4`,
		Args:              takes("POOL", "[KEY]"),
		ValidArgsFunction: a.completeFirst(poolNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 1 || count > registry.BatchAnswersMax {
				return usagef("-n %d: give 1 to %d", count, registry.BatchAnswersMax)
			}
			key := strings.Join(args[1:], "")
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				pool := c.Pool(registry.PoolName(args[0]))
				if cmd.Flags().Changed("turns") {
					return a.turns(ctx, pool, key, count)
				}
				return a.turn(ctx, pool, key)
			})
		},
	}
	cmd.Flags().IntVarP(&count, "turns", "n", 1, "take this many turns in one step")
	return cmd
}

func (a *app) turn(ctx context.Context, pool *client.Pool, key string) error {
	answer, err := pool.RR(ctx, key)
	if err != nil {
		return err
	}
	err = a.emit(&rotav1.RrTopicResponse{
		Topic: answer.Topic, Node: string(answer.Node), EmptyReason: answer.EmptyReason.String(), Epoch: uint64(answer.Epoch),
		Index: uint64(answer.Index), Term: uint64(answer.Term), ServedBy: string(answer.ServedBy),
	}, lines(answer.Topic))
	return cmp.Or(err, emptyAnswer(pool.Name(), answer.EmptyReason))
}

func (a *app) turns(ctx context.Context, pool *client.Pool, key string, n int) error {
	answers, err := pool.RRN(ctx, key, n)
	if err != nil {
		return err
	}
	m := &rotav1.RrTopicsResponse{
		EmptyReason: answers.EmptyReason.String(), Epoch: uint64(answers.Epoch),
		Index: uint64(answers.Index), Term: uint64(answers.Term), ServedBy: string(answers.ServedBy),
	}
	for _, one := range answers.Each {
		m.Topics = append(m.Topics, one.Topic)
		m.Nodes = append(m.Nodes, string(one.Node))
	}
	return cmp.Or(a.emit(m, lines(m.GetTopics()...)), emptyAnswer(pool.Name(), answers.EmptyReason))
}

func newLogTopicCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "log-topic ID PATH",
		Short: "Say which logger's turn it is for a log",
		Long: `Say which logger's turn it is for a log, as Zeek's Cluster::rr_log_topic does,
and move on. Without an eligible logger, or with enable_round_robin_logging
false, the answer is the log's own topic, and the exit code 0: it is an answer.
PATH is in Zeek's signature and does not change the answer.`,
		Example:           `  rota log-topic Conn::LOG conn`,
		Args:              takes("ID", "PATH"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error { return a.logTopic(ctx, c, args[0], args[1]) })
		},
	}
}

func (a *app) logTopic(ctx context.Context, c *client.Client, id, path string) error {
	answer, err := c.LogTopic(ctx, id, path)
	if err != nil {
		return err
	}
	if answer.EmptyReason != registry.NotEmpty {
		a.say("pool %q has no eligible node (%s): the answer is the log's own topic", registry.Logger, answer.EmptyReason)
	}
	return a.emit(&rotav1.RrLogTopicResponse{
		Topic: answer.Topic, Node: string(answer.Node), EmptyReason: answer.EmptyReason.String(), Epoch: uint64(answer.Epoch),
		Index: uint64(answer.Index), Term: uint64(answer.Term), ServedBy: string(answer.ServedBy),
	}, lines(answer.Topic))
}

// lines gives topics one a line; the empty topic is no line.
func lines(topics ...string) string {
	var out strings.Builder
	for _, t := range topics {
		if t != "" {
			out.WriteString(t + "\n")
		}
	}
	return out.String()
}
