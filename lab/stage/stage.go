package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// Extensions are those with a SIP phone, with the tone in Hz that each plays in calls.
var Extensions = map[string]float64{"100": 1000, "201": 900, "202": 800}

// Company is the account that the service holds.
var Company = cloud.User{ID: 5_000_100, Phone: "+49301000100", Username: "company_lab", FirstName: "Company", Code: "10100"}

// People are those in the simulated Telegram, besides the company. All but egon have a phone that is on.
var People = map[string]cloud.User{
	"alice": {ID: 5_000_201, Phone: "+49301000201", Username: "alice_lab", FirstName: "Alice", LastName: "Lab", Code: "20201"},
	"bob":   {ID: 5_000_202, Phone: "+49301000202", Username: "bob_lab", FirstName: "Bob", Code: "20202"},
	"carol": {ID: 5_000_203, Phone: "+49301000203", Username: "carol_lab", FirstName: "Carol", Code: "20203"},
	"dora":  {ID: 5_000_204, Phone: "+49301000204", Username: "dora_lab", FirstName: "Dora", Code: "20204"},
	"egon":  {ID: 5_000_205, Phone: "+49301000205", Username: "egon_lab", FirstName: "Egon", Code: "20205"},
}

// TelegramTone is what everybody's phone plays in calls, in Hz.
const TelegramTone = 440

const keepCalls = 50_000 // at the simulated Telegram: whoever judges looks at all of them

// Options of a Stage. Dir and Binary are required.
type Options struct {
	Dir       string        // everything is written here
	Binary    string        // the tgtrunk program
	Env       []string      // added to its environment
	ReachedIn time.Duration // of the account; default 15 s
	Chat      string        // of the account, in yaml on one line; "": it answers nobody
	Progress  func(string)  // told what is going on; may be nil
	Install   io.Writer     // the output of Asterisk's installation; may be nil
	Extras    []cloud.User  // more people, known by their first names
	Relay     cloud.Relay   // what calls are given; default a TURN server
	NoP2P     bool          // no call may be direct
	Log       *slog.Logger  // of the simulated Telegram and the phones; nil discards

	Accounts      []Account          // that the service holds; default Company alone
	Services      []string           // tgtrunk processes, by name; all are started; default "tgtrunk" alone
	PBX           PBX                // default OnAsterisk
	FreeSWITCH    FreeSWITCH         // how it is run; default: with a configuration of the stage's
	Codec         string             // of the legs in FreeSWITCH, as in tgtrunk.yaml; default: for the service to choose
	Configuration string             // of each, a template of a Setting; default Configuration
	Dialplan      string             // default Dialplan; on FreeSWITCH contexts beside those of deploy/freeswitch, default none
	Timeouts      cloud.Timeouts     // of the simulated Telegram
	Limits        cloud.ClientConfig // that it gives to clients
	Absent        []cloud.User       // more people, whose phones are off
	RelayARI      bool               // between the services and Asterisk, so that their connection can be cut
	Prepare       func(*Stage) error // called when the simulated Telegram runs, before anybody logs in; may be nil
}

func (o *Options) setDefaults() {
	if o.ReachedIn == 0 {
		o.ReachedIn = 15 * time.Second
	}
	if o.Relay == (cloud.Relay{}) {
		o.Relay.TURN = true
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Accounts) == 0 {
		o.Accounts = []Account{{Name: "company", User: Company}}
	}
	if len(o.Services) == 0 {
		o.Services = []string{"tgtrunk"}
	}
	o.Configuration = cmp.Or(o.Configuration, Configuration)
	o.PBX = cmp.Or(o.PBX, OnAsterisk)
	if o.PBX == OnAsterisk {
		o.Dialplan = cmp.Or(o.Dialplan, Dialplan)
	}
}

// Stage is all of it, running.
type Stage struct {
	Dir        string
	PBX        Switch          // one of the next two
	Asterisk   *lab.Asterisk   // OnAsterisk
	FreeSWITCH *lab.FreeSWITCH // OnFreeSWITCH
	Cloud      *cloud.Server
	Phones     map[string]*lab.Phone   // by extension: 100, 201
	People     map[string]*phone.Phone // by name; those whose phone is on
	Service    *Service                // the first; ServiceOf has all
	ARI        *Relay                  // with Options.RelayARI
	Voice      phone.Voice             // of TelegramTone

	accounts []Account
	net      *voip.Net
	stop     context.CancelFunc // of the simulated Telegram and its phones
	running  sync.WaitGroup
	mu       sync.Mutex
	services map[string]*Service // by name
	errs     []error             // of what ended by itself
}

// Config is the path of the service's configuration.
func (s *Stage) Config() string { return s.ConfigOf("tgtrunk") }

// ConfigOf is the path of the configuration of the service with that name.
func (s *Stage) ConfigOf(service string) string { return filepath.Join(s.Dir, service+".yaml") }

// Records is the path of the file with the service's call records.
func (s *Stage) Records() string { return filepath.Join(s.Dir, "calls.jsonl") }

// Start sets everything up; ctx bounds the start only. On error nothing is left running.
func Start(ctx context.Context, o Options) (*Stage, error) {
	o.setDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Stage{
		Dir: o.Dir, Phones: map[string]*lab.Phone{}, People: map[string]*phone.Phone{}, stop: stop,
		accounts: o.Accounts, services: map[string]*Service{},
	}
	if err := s.start(ctx, base, o); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Stage) start(ctx, base context.Context, o Options) error {
	steps := []struct {
		what string
		do   func() error
	}{
		{"starting the simulated Telegram", func() error { return s.startCloud(base, o) }},
		{"starting " + o.PBX.String(), func() error { return s.startPBX(ctx, o) }},
		{"logging the service's account in (tgtrunk login)", func() error { return errors.Join(s.writeConfigurations(o), s.login(ctx, o)) }},
		{"starting the service (tgtrunk run)", func() error { return s.startServices(ctx, o) }},
		{"switching the phones on", func() error { return s.startPeople(ctx, base, o) }},
	}
	for _, step := range steps {
		o.Progress(step.what)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (s *Stage) startCloud(base context.Context, o Options) error {
	key, err := cloud.LoadKey(filepath.Join(s.Dir, "cloud.pem"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "cloud.pem.pub"), cloud.PublicPEM(&key.PublicKey), 0o600); err != nil {
		return err
	}
	users := slices.Concat(o.Extras, o.Absent)
	for _, account := range o.Accounts {
		users = append(users, account.User)
	}
	for _, user := range People {
		users = append(users, user)
	}
	s.Cloud, err = cloud.New(cloud.Options{Key: key, Users: users, Relay: o.Relay, NoP2P: o.NoP2P, Timeouts: o.Timeouts, Config: o.Limits, KeepCalls: keepCalls, Log: o.Log})
	if err != nil {
		return err
	}
	s.goes(base, "simulated Telegram", s.Cloud.Run)
	if s.Voice, err = phone.Tone(TelegramTone); err != nil {
		return err
	}
	// Every phone has an address of its own, as on different devices: a call is put on the socket with the fewest.
	phones := voip.NetOptions{Listen: "127.0.0.1:0", Shards: len(users), Loopback: true, Log: o.Log}
	if s.net, err = voip.ListenNet(phones); err != nil || o.Prepare == nil {
		return err
	}
	return o.Prepare(s)
}

func (s *Stage) startServices(ctx context.Context, o Options) error {
	for _, name := range o.Services {
		if err := s.StartService(ctx, o, name); err != nil {
			return err
		}
	}
	return nil
}

// goes runs something until base ends and keeps its error.
func (s *Stage) goes(base context.Context, what string, run func(context.Context) error) {
	s.running.Go(func() {
		if err := run(base); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.errs = append(s.errs, fmt.Errorf("%s: %w", what, err))
		}
	})
}

// startPeople logs everybody but egon in.
func (s *Stage) startPeople(ctx, base context.Context, o Options) error {
	people := maps.Clone(People)
	delete(people, "egon")
	for _, user := range o.Extras {
		people[user.FirstName] = user
	}
	// A few at a time: every login is a key exchange, and the machine may be small.
	slots, failed := make(chan struct{}, 4), make(chan error, len(people))
	var waiting sync.WaitGroup
	for name, user := range people {
		p, err := s.newPerson(user, o.Log)
		if err != nil {
			return err
		}
		s.People[name] = p
		waiting.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s.goes(base, name+"'s phone", p.Run)
			select {
			case <-p.Ready():
			case <-time.After(20 * time.Second):
				failed <- fmt.Errorf("%s's phone is not on after 20 s", name)
			case <-ctx.Done():
				failed <- ctx.Err()
			}
		})
	}
	waiting.Wait()
	close(failed)
	return errors.Join(<-failed, s.Err())
}

// newPerson makes the phone of a user of the simulated Telegram.
func (s *Stage) newPerson(user cloud.User, log *slog.Logger) (*phone.Phone, error) {
	return phone.New(phone.Options{
		Server: s.Cloud.Addr().AddrPort(), Key: s.Cloud.PublicKey(), DC: s.Cloud.DC(), User: user,
		Control: s.Cloud.Control(), Net: s.net, Log: log,
	})
}

// Err is what has gone wrong by itself so far.
func (s *Stage) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// Stop ends everything, the service first, and returns what had gone wrong by itself.
func (s *Stage) Stop() error {
	var errs []error
	for name, service := range s.services {
		if err := service.Stop(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	for _, p := range s.Phones {
		p.Close()
	}
	if s.ARI != nil {
		s.ARI.close()
	}
	if s.PBX != nil {
		s.PBX.Stop()
	}
	s.stop()
	s.running.Wait()
	if s.net != nil {
		s.net.Close()
	}
	return errors.Join(append(errs, s.Err())...)
}

// Settled waits until no channel and no call is left, and says what is.
func (s *Stage) Settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.PBX.WaitChannels(ctx, 0); err != nil {
		return fmt.Errorf("channels are left in the PBX: %w", err)
	}
	if live := s.Cloud.Control().ActiveCalls(); len(live) > 0 {
		return fmt.Errorf("calls are left at Telegram: %+v", live)
	}
	return nil
}
