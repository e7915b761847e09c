// Rota is the one binary: a replica of the registry (rota server), a node's
// agent (rota agent), a whole cluster on one machine to try things with (rota
// dev), and the operator's commands.
//
// This package wires the others together, reads the configuration, prints and
// exits; it decides nothing about pools. Data goes to stdout, talk goes to
// stderr, and the exit code says what came of it (exit.go). It is the only
// place where environment variables are read and signals are handled.
package main

import (
	"context"
	"os"
)

func main() {
	std := streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	os.Exit(int(run(context.Background(), os.Args[1:], std)))
}
