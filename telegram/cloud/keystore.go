package cloud

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// AuthKey is what the server remembers of an authorization key. Clients keep theirs for months, so must the server.
type AuthKey struct {
	ID      int64     `json:"id"`  // low 64 bits of SHA1(key)
	Key     []byte    `json:"key"` // 256 bytes
	Salt    int64     `json:"salt"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // temporary keys only
	Perm    int64     `json:"perm,omitempty"`   // the permanent key a temporary one is bound to
	Login   *Login    `json:"login,omitempty"`  // permanent keys only; nil: not logged in
	App     *App      `json:"app,omitempty"`    // from initConnection
}

// Login says who is logged in with a key.
type Login struct {
	User int64     `json:"user"`
	Hash int64     `json:"hash"` // of account.getAuthorizations
	Date time.Time `json:"date"`

	NoCalls bool `json:"no_calls,omitempty"` // call_requests_disabled
}

// App is what a client told of itself in initConnection.
type App struct {
	APIID   int    `json:"api_id"`
	Layer   int    `json:"layer"`
	Device  string `json:"device"`
	System  string `json:"system"`
	Version string `json:"version"`
}

// KeyStore keeps authorization keys over restarts. Methods may be called concurrently.
type KeyStore interface {
	Load() ([]AuthKey, error) // called once, at start
	Save(AuthKey) error       // inserts or replaces by ID
	Delete(id int64) error    // no error when it is not there
}

// MemoryKeys keeps keys as long as the value lives; two servers one after the other may share it.
func MemoryKeys() KeyStore { return &memoryKeys{keys: map[int64]AuthKey{}} }

type memoryKeys struct {
	mu   sync.Mutex
	keys map[int64]AuthKey
}

func (m *memoryKeys) Load() ([]AuthKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]AuthKey, 0, len(m.keys))
	for _, k := range m.keys {
		all = append(all, k)
	}
	return all, nil
}

func (m *memoryKeys) Save(k AuthKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[k.ID] = k
	return nil
}

func (m *memoryKeys) Delete(id int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, id)
	return nil
}

// FileKeys keeps keys in a file of one JSON object a line, readable by its owner only. Changes are appended; Load writes the
// file anew without what was replaced or deleted.
func FileKeys(path string) KeyStore { return &fileKeys{path: path} }

type fileKeys struct {
	mu   sync.Mutex
	path string
}

// fileLine is one change: a key, or the id of a deleted one.
type fileLine struct {
	AuthKey
	Deleted bool `json:"deleted,omitempty"`
}

func (f *fileKeys) Load() ([]AuthKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("load auth keys: %w", err)
	}
	if err := f.compact(keys); err != nil {
		return nil, fmt.Errorf("load auth keys: %w", err)
	}
	return keys, nil
}

func (f *fileKeys) read() ([]AuthKey, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	keys := map[int64]AuthKey{}
	var bad error
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if bad != nil { // only the last line may be torn, by a crash
			return nil, bad
		}
		var line fileLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			bad = fmt.Errorf("parse line %d of %s: %w", n, f.path, err)
			continue
		}
		if line.Deleted {
			delete(keys, line.ID)
		} else {
			keys[line.ID] = line.AuthKey
		}
	}
	all := make([]AuthKey, 0, len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b AuthKey) int { return a.Created.Compare(b.Created) })
	return all, lines.Err()
}

func (f *fileKeys) compact(keys []AuthKey) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	tmp, err := os.OpenFile(f.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	out := json.NewEncoder(tmp)
	for _, k := range keys {
		err = errors.Join(err, out.Encode(fileLine{AuthKey: k}))
	}
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), f.path)
}

func (f *fileKeys) Save(k AuthKey) error { return f.append(fileLine{AuthKey: k}) }

func (f *fileKeys) Delete(id int64) error {
	return f.append(fileLine{AuthKey: AuthKey{ID: id}, Deleted: true})
}

func (f *fileKeys) append(line fileLine) error {
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("save auth key: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("save auth key: %w", err)
	}
	_, err = file.Write(append(text, '\n'))
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("save auth key: %w", err)
	}
	return nil
}
