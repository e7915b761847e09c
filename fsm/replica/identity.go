package replica

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rota-registry/rota/registry"
)

// identity is the file beside the store that says whose store it is. An empty
// database file opens as an empty store, and a voter that forgot its vote may
// vote twice: so the store holds its id too, and both must agree.
type identity struct {
	Name      registry.ReplicaName `json:"name"`
	StoreID   registry.StoreID     `json:"storeId"`
	ClusterID registry.ClusterID   `json:"clusterId,omitempty"`
	// Founding is the roster that this replica founds a cluster with, written
	// before it bootstraps, so that a crash between leaves one decision.
	Founding []registry.Replica `json:"founding,omitempty"`
	// Refused is why this store must not be used again: Raft ran over it before
	// the log could tell that it is not the one of its name.
	Refused string `json:"refused,omitempty"`
	// Book is where the replicas were last reached.
	Book []registry.Replica `json:"book,omitempty"`
}

const identityFile = "identity.json"

// readIdentity gives nil when there is no file.
func readIdentity(dir string) (*identity, error) {
	path := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	id := &identity{}
	if err := json.Unmarshal(b, id); err != nil {
		return nil, fmt.Errorf("%s is not readable: %w; put back a copy of it, or %s", path, err, registry.LostDataAdvice)
	}
	if err := errors.Join(id.Name.Validate(), id.StoreID.Validate()); err != nil {
		return nil, fmt.Errorf("%s is not whole: %w; put back a copy of it, or %s", path, err, registry.LostDataAdvice)
	}
	return id, nil
}

// write replaces the file in one step that survives a power loss.
func (id *identity) write(dir string) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, identityFile+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, identityFile))
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// newID draws n random bytes as hex digits.
func newID(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails: the runtime ends the process first
	return hex.EncodeToString(b)
}
