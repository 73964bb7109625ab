package cloud

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gotd/td/crypto"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

// device is a permanent authorization key and what hangs on it: one login on one device.
// All fields but key are guarded by Server.mu.
type device struct {
	key      *mtserver.Key
	rec      AuthKey                    // as it was saved last
	user     *account                   // nil: not logged in
	pending  *account                   // the code was right, the password is missing
	srp      *srpChallenge              // of the last account.getPassword
	token    *loginToken                // of the last auth.exportLoginToken
	sessions map[*mtserver.Session]bool // that sent queries
	last     *mtserver.Session          // the one of the last query
	main     *mtserver.Session          // asked for the update state last: gets the updates
	seq      int                        // of updates without pts
	active   time.Time
}

// online says whether updates reach the device now.
func (d *device) online() bool { return d.main != nil && d.main.Connected() }

// keyring knows every authorization key. It has its own lock because it is asked for every packet.
type keyring struct {
	store KeyStore

	mu      sync.RWMutex
	keys    map[int64]*mtserver.Key
	saved   map[int64]AuthKey
	devices map[int64]*device // by id of the permanent key
	bound   map[int64]int64   // temporary -> permanent
}

func newKeyring(store KeyStore) (*keyring, error) {
	k := &keyring{store: store, keys: map[int64]*mtserver.Key{}, saved: map[int64]AuthKey{}, devices: map[int64]*device{}, bound: map[int64]int64{}}
	recs, err := store.Load()
	if err != nil {
		return nil, err
	}
	for _, rec := range recs {
		if rec.useless(time.Now()) {
			if err := store.Delete(rec.ID); err != nil {
				return nil, err
			}
			continue
		}
		if len(rec.Key) != len(crypto.Key{}) {
			return nil, fmt.Errorf("load auth key: %d bytes long", len(rec.Key))
		}
		k.put(rec)
	}
	return k, nil
}

// useless says whether a key need not be kept: a temporary one that is over, or one that nobody logged in with for a day.
func (r AuthKey) useless(now time.Time) bool {
	if !r.Expires.IsZero() {
		return now.After(r.Expires)
	}
	return r.Login == nil && now.Sub(r.Created) > 24*time.Hour
}

func (k *keyring) put(rec AuthKey) {
	key := &mtserver.Key{AuthKey: crypto.Key(rec.Key).WithID(), Salt: rec.Salt, Created: rec.Created, Expires: rec.Expires}
	k.keys[rec.ID], k.saved[rec.ID] = key, rec
	if !key.Temporary() {
		k.devices[rec.ID] = &device{key: key, rec: rec, sessions: map[*mtserver.Session]bool{}, seq: 1}
	} else if rec.Perm != 0 {
		k.bound[rec.ID] = rec.Perm
	}
}

func (k *keyring) find(id int64) (*mtserver.Key, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.keys[id]
	return key, ok
}

func (k *keyring) add(key *mtserver.Key) error {
	rec := AuthKey{ID: key.IntID(), Key: key.Value[:], Salt: key.Salt, Created: key.Created, Expires: key.Expires}
	if err := k.store.Save(rec); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.put(rec)
	return k.dropExpired(time.Now())
}

// dropExpired forgets temporary keys that are over. Called with mu held.
func (k *keyring) dropExpired(now time.Time) error {
	for id, rec := range k.saved {
		if rec.Expires.IsZero() || !now.After(rec.Expires) {
			continue
		}
		delete(k.keys, id)
		delete(k.saved, id)
		delete(k.bound, id)
		if err := k.store.Delete(id); err != nil {
			return err
		}
	}
	return nil
}

// device of a key; nil for a temporary key that is not bound.
func (k *keyring) device(key *mtserver.Key) *device {
	k.mu.RLock()
	defer k.mu.RUnlock()
	id := key.IntID()
	if key.Temporary() {
		id = k.bound[id]
	}
	return k.devices[id]
}

// bind makes a temporary key stand for a permanent one.
func (k *keyring) bind(temp, perm int64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	rec := k.saved[temp]
	rec.Perm = perm
	if err := k.store.Save(rec); err != nil {
		return err
	}
	k.saved[temp], k.bound[temp] = rec, perm
	return nil
}

func (k *keyring) all() []*device {
	k.mu.RLock()
	defer k.mu.RUnlock()
	all := make([]*device, 0, len(k.devices))
	for _, d := range k.devices {
		all = append(all, d)
	}
	return all
}

// Key implements mtserver.Handler.
func (s *Server) Key(id int64) (*mtserver.Key, bool) { return s.keys.find(id) }

// NewKey implements mtserver.Handler.
func (s *Server) NewKey(key *mtserver.Key) error { return s.keys.add(key) }

// Forget implements mtserver.Handler.
func (s *Server) Forget(gone *mtserver.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.keys.device(gone.Key())
	if d == nil {
		return
	}
	delete(d.sessions, gone)
	if d.main == gone {
		d.main = nil
	}
	if d.last == gone {
		d.last = nil
	}
}

// saveDevice writes down who is logged in. Called with mu held; the file is small and local.
func (s *Server) saveDevice(d *device) {
	if err := s.opts.AuthKeys.Save(d.rec); err != nil {
		s.log.Error("save auth key", "err", err)
	}
}

// login makes user the one who is logged in on a device.
func (s *Server) login(d *device, user *account) {
	s.logout(d)
	d.user, d.pending, d.token, d.srp = user, nil, nil, nil
	d.rec.Login = &Login{User: user.ID, Hash: rand.Int64() | 1, Date: s.now()}
	user.devices[d] = true
	s.saveDevice(d)
	s.log.Info("logged in", "user", user.User, "device", d.app().Device)
	s.push(user, news{updates: []tg.UpdateClass{newAuthorization(d)}, skip: d})
}

// newAuthorization tells the user's other devices of a login.
func newAuthorization(d *device) *tg.UpdateNewAuthorization {
	u := &tg.UpdateNewAuthorization{Hash: d.rec.Login.Hash, Unconfirmed: true}
	u.SetDate(int(d.rec.Login.Date.Unix()))
	u.SetDevice(d.app().Device)
	u.SetLocation("Loopback")
	return u
}

// logout ends the login of a device and the calls it is in.
func (s *Server) logout(d *device) {
	d.pending, d.srp, d.main = nil, nil, nil
	if d.user == nil {
		return
	}
	s.endCallsOf(d)
	delete(d.user.devices, d)
	s.log.Info("logged out", "user", d.user.User, "device", d.app().Device)
	d.user, d.rec.Login = nil, nil
	s.saveDevice(d)
}

func (d *device) app() App {
	if d.rec.App == nil {
		return App{}
	}
	return *d.rec.App
}

// disconnect cuts the device's connections.
func (d *device) disconnect() (n int) {
	for session := range d.sessions {
		if session.Disconnect() {
			n++
		}
	}
	return n
}
