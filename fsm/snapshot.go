package fsm

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

// A snapshot is a magic number and then sections, each
//
//	byte    kind
//	uint32  length of the body, little-endian
//	bytes   body
//	uint32  CRC32C of all of the above, little-endian
//
// in the order meta, replicas, nodes, pools, sessions, end; one section a
// record, sorted as registry.Snapshot is. A session is followed by the answers
// that it keeps, each a section of its own, for all of them could be too long
// for one. Snapshot → restore → snapshot is the same bytes.
const snapshotMagic = "ROTASNP1"

// The kinds of sections: append only.
const (
	sectionMeta    = 1
	sectionReplica = 2
	sectionNode    = 3
	sectionPool    = 4
	sectionEnd     = 5
	sectionSession = 6
	sectionStored  = 7 // an answer of the session before it
)

// sectionMax bounds what a broken length can make a reader allocate: a pool
// with all members and all cursors takes less.
const sectionMax = 64 << 20

const (
	sectionHead  = 5        // bytes before a section's body
	sectionChunk = 64 << 10 // bytes that a reader takes at least, if there are so many
	// snapshotWords are the names that come again and again: those of nodes and
	// their aliases, and their topics in the answers that sessions keep.
	snapshotWords = 3 * registry.NodesMax
)

// snapshot is the state of one moment on its way to the disk.
type snapshot struct {
	state *registry.Frozen
	at    registry.Position
	chain Chain
}

// Persist writes the snapshot to Raft's sink.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := WriteSnapshot(sink, s.state.Snapshot(), s.at, s.chain); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release has nothing to give back.
func (s *snapshot) Release() {}

// meta is the first section.
type meta struct {
	At        registry.Position
	ClusterID registry.ClusterID
	Clock     registry.Millis
	Settings  registry.Settings
	Chain     Chain
}

// WriteSnapshot writes a state, the position it stands at, and the chain of what
// led there.
func WriteSnapshot(to io.Writer, s registry.Snapshot, at registry.Position, chain Chain) error {
	w := &sectionWriter{to: bufio.NewWriter(to)}
	w.write([]byte(snapshotMagic))
	head := meta{At: at, ClusterID: s.ClusterID, Clock: s.Clock, Settings: s.Settings, Chain: chain}
	writeSection(w, sectionMeta, &head, metaFields)
	for i := range s.Replicas {
		writeSection(w, sectionReplica, &s.Replicas[i], replica)
	}
	for i := range s.Nodes {
		writeSection(w, sectionNode, &s.Nodes[i], node)
	}
	for i := range s.Pools {
		writeSection(w, sectionPool, &s.Pools[i], pool)
	}
	for i := range s.Sessions {
		writeSection(w, sectionSession, &s.Sessions[i], session)
		for j := range s.Sessions[i].Stored {
			writeSection(w, sectionStored, &s.Sessions[i].Stored[j], stored)
		}
	}
	writeSection(w, sectionEnd, &struct{}{}, func(*walk, *struct{}) {})
	if w.err != nil {
		return w.err
	}
	return w.to.Flush()
}

// sectionWriter writes sections one after the other, each in the memory of the
// one before it.
type sectionWriter struct {
	to   *bufio.Writer
	walk walk
	err  error
}

func (w *sectionWriter) write(b []byte) {
	if w.err == nil {
		_, w.err = w.to.Write(b)
	}
}

// writeSection writes the body in place behind its head, whose length is filled
// in when it is known.
func writeSection[T any](w *sectionWriter, kind byte, record *T, visit func(*walk, *T)) {
	w.walk.b = append(w.walk.b[:0], kind, 0, 0, 0, 0)
	visit(&w.walk, record)
	size := len(w.walk.b) - sectionHead
	if size > sectionMax && w.err == nil {
		w.err = fmt.Errorf("snapshot: a section of kind %d has %d bytes, at most %d are allowed", kind, size, sectionMax)
	}
	binary.LittleEndian.PutUint32(w.walk.b[1:], uint32(size))
	w.walk.b = appendCRC(w.walk.b)
	w.write(w.walk.b)
}

// ReadSnapshot is WriteSnapshot's inverse; it reads to the end.
func ReadSnapshot(from io.Reader) (s registry.Snapshot, at registry.Position, chain Chain, err error) {
	r := &sectionReader{from: bufio.NewReader(from), walk: walk{reading: true, words: newWords(snapshotWords)}}
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(r.from, magic); err != nil || string(magic) != snapshotMagic {
		return s, at, chain, errors.New("snapshot: it does not begin as one of this release does")
	}
	last := byte(0)
	for last != sectionEnd {
		kind, err := r.next()
		if err != nil {
			return s, at, chain, fmt.Errorf("snapshot: %w", err)
		}
		if !follows(kind, last) {
			return s, at, chain, fmt.Errorf("snapshot: section of kind %d after one of kind %d", kind, last)
		}
		if err := r.addTo(&s, kind); err != nil {
			return s, at, chain, fmt.Errorf("snapshot: section of kind %d: %w", kind, err)
		}
		last = kind
	}
	if _, err := r.from.ReadByte(); !errors.Is(err, io.EOF) {
		return s, at, chain, errors.New("snapshot: bytes follow its end")
	}
	return s, r.head.At, r.head.Chain, nil
}

// follows reports whether a section of a kind may stand behind one of the kind
// last, which is 0 before the first.
func follows(kind, last byte) bool {
	switch {
	case last == 0 || kind == sectionMeta:
		return last == 0 && kind == sectionMeta
	case kind == sectionStored:
		return last == sectionSession || last == sectionStored
	case last == sectionSession || last == sectionStored:
		return kind == sectionSession || kind == sectionEnd
	}
	return kind >= last
}

// sectionReader reads sections one after the other, each into the memory of the
// one before it.
type sectionReader struct {
	from *bufio.Reader
	walk walk // its b is the section, without its CRC
	head meta
}

// next reads the next section and compares it with its CRC.
func (r *sectionReader) next() (kind byte, err error) {
	if err := r.fill(0, sectionHead); err != nil {
		return 0, err
	}
	kind, n := r.walk.b[0], binary.LittleEndian.Uint32(r.walk.b[1:])
	if n > sectionMax {
		return 0, fmt.Errorf("a section of kind %d claims %d bytes", kind, n)
	}
	// Grow as bytes come, so that a broken length allocates no more than there is.
	whole := sectionHead + int(n) + crcLen
	for have := sectionHead; have < whole; have = len(r.walk.b) {
		if err := r.fill(have, min(whole, have+max(have, sectionChunk))); err != nil {
			return 0, err
		}
	}
	r.walk.b, err = checkCRC(r.walk.b)
	return kind, err
}

// fill reads the bytes of the section behind the first have, up to to.
func (r *sectionReader) fill(have, to int) error {
	r.walk.b = slices.Grow(r.walk.b[:have], to-have)[:to]
	if _, err := io.ReadFull(r.from, r.walk.b[have:]); err != nil {
		return fmt.Errorf("it is cut off: %w", err)
	}
	return nil
}

// addTo adds the section's record to the snapshot.
func (r *sectionReader) addTo(s *registry.Snapshot, kind byte) error {
	switch kind {
	case sectionMeta:
		m := &r.head
		err := readRecord(r, m, metaFields)
		s.ClusterID, s.Clock, s.Settings = m.ClusterID, m.Clock, m.Settings
		return err
	case sectionReplica:
		return addRecord(r, &s.Replicas, replica)
	case sectionNode:
		return addRecord(r, &s.Nodes, node)
	case sectionPool:
		return addRecord(r, &s.Pools, pool)
	case sectionSession:
		return addRecord(r, &s.Sessions, session)
	case sectionStored:
		return addRecord(r, &s.Sessions[len(s.Sessions)-1].Stored, stored)
	case sectionEnd:
		if len(r.walk.b) > sectionHead {
			return errors.New("it is not empty")
		}
		return nil
	}
	return errors.New("the kind is unknown: written by a newer release")
}

func addRecord[T any](r *sectionReader, to *[]T, visit func(*walk, *T)) error {
	var zero T
	*to = append(*to, zero)
	return readRecord(r, &(*to)[len(*to)-1], visit)
}

func readRecord[T any](r *sectionReader, record *T, visit func(*walk, *T)) error {
	r.walk.at, r.walk.end = sectionHead, len(r.walk.b)
	read(&r.walk, record, visit)
	return r.walk.err
}

func metaFields(w *walk, m *meta) {
	number(w, 1, &m.At.Index)
	number(w, 2, &m.At.Term)
	text(w, 3, &m.ClusterID)
	number(w, 4, &m.Clock)
	message(w, 5, &m.Settings, settings)
	number(w, 6, &m.Chain.Hash)
	number(w, 7, &m.Chain.From)
}

func settings(w *walk, s *registry.Settings) {
	text(w, 1, &s.NodeTopicPrefix)
	text(w, 2, &s.NodeIDTopicPrefix)
	text(w, 3, &s.PoolTopicPrefix)
	text(w, 4, &s.LogTopicPrefix)
	text(w, 5, &s.TopicSeparator)
	number(w, 6, &s.ManagerIsLogger)
	flag(w, 7, &s.EnableRoundRobinLogging)
	number(w, 8, &s.Assignment)
	texts(w, 9, &s.NodeTypes)
	number(w, 10, &s.FailedRetention)
	number(w, 11, &s.LeftRetention)
}

func node(w *walk, n *registry.Node) {
	word(w, 1, &n.Name)
	word(w, 2, &n.Type)
	text(w, 3, &n.Address)
	text(w, 4, &n.Boot)
	text(w, 5, &n.Replaced)
	number(w, 6, &n.State)
	flag(w, 7, &n.Draining)
	text(w, 8, &n.DrainReason)
	flag(w, 9, &n.Static)
	number(w, 10, &n.Since)
	number(w, 11, &n.SinceClock)
	number(w, 12, &n.SinceWall)
	number(w, 13, &n.Joined)
	word(w, 14, &n.Reason)
	word(w, 15, &n.By)
}

func pool(w *walk, p *registry.PoolSnapshot) {
	message(w, 1, &p.Spec, spec)
	number(w, 2, &p.Epoch)
	list(w, 3, &p.Members, member)
	list(w, 4, &p.Cursors, cursor)
}

func member(w *walk, m *registry.MemberSnapshot) {
	word(w, 1, &m.Node)
	word(w, 2, &m.Alias)
	number(w, 3, &m.SiteID)
}

func cursor(w *walk, c *registry.CursorSnapshot) {
	text(w, 1, &c.Key)
	number(w, 2, &c.Next)
	number(w, 3, &c.Used)
}

func session(w *walk, s *registry.SessionSnapshot) {
	text(w, 1, &s.ID)
	number(w, 2, &s.Used)
	number(w, 3, &s.FirstUnacked)
}

func stored(w *walk, t *registry.StoredTurn) {
	number(w, 1, &t.Serial)
	message(w, 2, &t.Result, turnResult)
}
