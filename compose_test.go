package tgtrunk_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
)

// compose loads docker-compose.yml as `docker compose` does, schema and all.
func compose(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"docker-compose.yml"}, cli.WithOsEnv, cli.WithProfiles(profiles), cli.WithName("tgtrunk"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeFileFitsTheSchema(t *testing.T) {
	for _, want := range []struct {
		profiles, services []string
	}{
		{nil, []string{"tgtrunk"}},
		{[]string{"redis"}, []string{"redis", "tgtrunk"}},
		{[]string{"freeswitch"}, []string{"freeswitch", "tgtrunk"}},
		{[]string{"lab"}, []string{"asterisk", "cloud", "service", "tgtrunk"}},
	} {
		got := compose(t, want.profiles...).ServiceNames()
		slices.Sort(got)
		if !slices.Equal(got, want.services) {
			t.Errorf("profiles %v have the services %v, not %v", want.profiles, got, want.services)
		}
	}
}

// The Redis of the composition keeps what it is told, is not open to the network, and is reached as its comment says.
func TestComposeRedisIsFitForAStore(t *testing.T) {
	t.Setenv("TGTRUNK_REDIS_PASSWORD", "secret")
	t.Setenv("TGTRUNK_STORE_KEY", strings.Repeat("0", 64))
	redis := compose(t, "redis").Services["redis"]
	for _, want := range [][]string{{"--appendonly", "yes"}, {"--maxmemory-policy", "noeviction"}, {"--requirepass", "secret"}} {
		if i := slices.Index(redis.Command, want[0]); i < 0 || i+1 >= len(redis.Command) || redis.Command[i+1] != want[1] {
			t.Errorf("redis runs as %q without %q", redis.Command, want)
		}
	}
	if len(redis.Ports) != 1 || redis.Ports[0].HostIP != "127.0.0.1" || redis.Ports[0].Published != "6379" {
		t.Errorf("redis listens at %+v", redis.Ports)
	}
	text, err := os.ReadFile("docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	store := regexp.MustCompile(`redis: # (store: .*)`).FindSubmatch(text)
	minimal, err := os.ReadFile("config/testdata/minimal.yaml")
	if err != nil || store == nil {
		t.Fatal("docker-compose.yml does not say how to use its redis", err)
	}
	path := filepath.Join(t.TempDir(), "tgtrunk.yaml")
	if err := os.WriteFile(path, slices.Concat(store[1], []byte("\n"), minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load(path); err != nil || c.Store.Redis == nil {
		t.Error(err)
	}
}

// What the example and the documentation take from the environment reaches the container.
func TestComposePassesSecretsOn(t *testing.T) {
	files, err := filepath.Glob("docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal("no documentation", err)
	}
	passed := compose(t).Services["tgtrunk"].Environment
	for _, file := range append(files, "README.md", "tgtrunk.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`\{env: (TGTRUNK_\w+)\}`).FindAllSubmatch(text, -1) {
			if _, ok := passed[string(found[1])]; !ok {
				t.Errorf("%s names %s, which docker-compose.yml does not pass on", file, found[1])
			}
		}
	}
}

func TestComposeMountsAndBuildsWhatExists(t *testing.T) {
	for name, service := range compose(t, "lab", "freeswitch").Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if name == "freeswitch" { // the administrator makes it, and docker must not make an empty one instead
				if volume.Bind == nil || volume.Bind.CreateHostPath {
					t.Errorf("%s mounts %s also where it does not exist", name, volume.Source)
				}
				continue
			}
			if info, err := os.Stat(volume.Source); err != nil || info.IsDir() {
				t.Errorf("%s mounts %s: %v", name, volume.Source, err)
			}
		}
		if build := service.Build; build != nil {
			file := build.Dockerfile
			if file == "" {
				file = "Dockerfile"
			}
			if _, err := os.Stat(filepath.Join(build.Context, file)); err != nil {
				t.Errorf("%s cannot be built: %v", name, err)
			}
		}
	}
}

func TestComposeConfigurationsAreRight(t *testing.T) {
	users, err := cloud.LoadUsers("deploy/lab/users.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if users[0].Phone != "+49301000100" || users[0].Code != "10100" {
		t.Errorf("the service logs in with another number or code than that of %+v", users[0].Username)
	}
	// In the container the key is made by the service cloud.
	text, err := os.ReadFile("deploy/lab/tgtrunk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "tgtrunk.yaml")
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("/lab/"), []byte(dir+"/")), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := cloud.LoadKey(filepath.Join(dir, "rsa.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rsa.pem.pub"), cloud.PublicPEM(&key.PublicKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err != nil {
		t.Error(err)
	}
}
