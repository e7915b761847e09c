package replica

import (
	"sync"

	"github.com/hashicorp/raft"
)

// pipeline is Raft's, which takes no more once an answer said no. Raft stops
// reading answers then, and may still send; its own pipeline would hold the
// second such send until the answer to the first was read, for ever: the
// follower would go on to hear heartbeats, so that nobody stood for election,
// and get no entry again (raft #612).
type pipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	// refused is closed before the answer that says no is handed on.
	refused chan struct{}
	closed  chan struct{}
	closing sync.Once
	reading sync.WaitGroup
}

// AppendEntriesPipeline opens a pipeline to a follower.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &pipeline{
		AppendPipeline: inner,
		answers:        make(chan raft.AppendFuture),
		refused:        make(chan struct{}),
		closed:         make(chan struct{}),
	}
	p.reading.Go(p.read)
	return p, nil
}

// read hands on all answers to the first that says no, which an answer that
// did not come does too, and takes the rest.
func (p *pipeline) read() {
	for over := false; ; {
		select {
		case answer := <-p.AppendPipeline.Consumer():
			if over {
				continue
			}
			if over = !answer.Response().Success; over {
				close(p.refused)
			}
			select {
			case p.answers <- answer:
			case <-p.closed:
				return
			}
		case <-p.closed:
			return
		}
	}
}

// AppendEntries sends entries unless an answer said no.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	select {
	case <-p.refused:
		return nil, raft.ErrPipelineShutdown
	default:
		return p.AppendPipeline.AppendEntries(args, resp)
	}
}

// Consumer gives the answers.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close ends the pipeline and its connection.
func (p *pipeline) Close() error {
	err := p.AppendPipeline.Close()
	p.closing.Do(func() { close(p.closed) })
	p.reading.Wait()
	return err
}
