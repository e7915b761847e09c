package main

import (
	"context"
	"os"
	"os/user"

	"github.com/rota-registry/rota/rpc/client"
)

// dial gives a client of the replicas of --server; the caller closes it. It
// connects to nobody yet.
func (a *app) dial() (*client.Client, error) {
	return client.Dial(a.servers, client.Options{Timeout: a.timeout, By: operator()})
}

// deadline bounds ctx by --timeout.
func (a *app) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.timeout)
}

// operator is who types, for the records that people read: user@host, or what
// of it is known.
func operator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		return clipASCII(name)
	}
	return clipASCII(name + "@" + host)
}

// clipASCII keeps what a record of who asked may hold.
func clipASCII(s string) string {
	const most = 128
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if ' ' <= s[i] && s[i] <= '~' {
			b = append(b, s[i])
		}
	}
	return string(b[:min(len(b), most)])
}
