package client

import (
	"context"

	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// Cursors lists the pool's cursors, Zeek's rr_key_seq.
func (p *Pool) Cursors(ctx context.Context, opts ...ReadOption) (CursorList, error) {
	fresh, index := p.client.reading(opts)
	res, err := invoke(ctx, p.client, p.method(read, "cursors of pool"),
		func(s *server) unary[rotav1.ListCursorsRequest, rotav1.ListCursorsResponse] {
			return s.registry.ListCursors
		},
		&rotav1.ListCursorsRequest{Pool: string(p.name), Consistency: fresh, AtLeastIndex: index})
	if err != nil {
		return CursorList{}, err
	}
	return CursorList{Cursors: wire.FromCursors(res.GetCursors()), Served: served(res)}, nil
}

// SetCursor makes the member with that index the next in the key's rotation. It
// is not repeated when its outcome is unknown: turns taken meanwhile would be
// taken back.
func (p *Pool) SetCursor(ctx context.Context, key string, next int) (Served, error) {
	index, err := number("set cursor: next", next)
	if err != nil {
		return Served{}, err
	}
	res, err := invoke(ctx, p.client, p.method(once, "set cursor of pool"),
		func(s *server) unary[rotav1.SetCursorRequest, rotav1.SetCursorResponse] { return s.registry.SetCursor },
		&rotav1.SetCursorRequest{Pool: string(p.name), Key: key, Next: index})
	if err != nil {
		return Served{}, err
	}
	return served(res), nil
}

// DeleteCursor forgets a cursor: the key's rotation starts over. It is not
// repeated when its outcome is unknown, for the reason that SetCursor is not.
func (p *Pool) DeleteCursor(ctx context.Context, key string) (Served, error) {
	res, err := invoke(ctx, p.client, p.method(once, "delete cursor of pool"),
		func(s *server) unary[rotav1.DeleteCursorRequest, rotav1.DeleteCursorResponse] {
			return s.registry.DeleteCursor
		},
		&rotav1.DeleteCursorRequest{Pool: string(p.name), Key: key})
	if err != nil {
		return Served{}, err
	}
	return served(res), nil
}
