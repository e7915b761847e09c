package server

import (
	"context"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

func (s registryService) GetSettings(ctx context.Context, r *connect.Request[rotav1.GetSettingsRequest]) (*connect.Response[rotav1.GetSettingsResponse], error) {
	options, err := wire.FromConsistency(r.Msg.GetConsistency(), r.Msg.GetAtLeastIndex())
	if err != nil {
		return nil, err
	}
	response := &rotav1.GetSettingsResponse{ServedBy: s.servedBy}
	seen, err := s.read(ctx, options, func(view *registry.View) error {
		response.Settings = wire.ToSettings(view.Settings())
		return nil
	})
	response.Index, response.Term, response.AgeMs = seen.index, seen.term, seen.age
	return reply(response, err)
}

func (s registryService) SetSettings(ctx context.Context, r *connect.Request[rotav1.SetSettingsRequest]) (*connect.Response[rotav1.SetSettingsResponse], error) {
	change, err := wire.FromSettingsChange(r.Msg.GetSettings())
	if err != nil {
		return nil, err
	}
	result, position, err := s.propose(ctx, registry.SetSettings{Change: change, By: by(r.Header())})
	if err != nil {
		return nil, err
	}
	response := &rotav1.SetSettingsResponse{Changed: result.Changed, ServedBy: s.servedBy}
	made, err := s.readBack(ctx, position, func(view *registry.View) error {
		response.Settings = wire.ToSettings(view.Settings())
		return nil
	})
	response.Index, response.Term = made.index, made.term
	return reply(response, err)
}
