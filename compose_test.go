package tgtrunk_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
)

// compose loads docker-compose.yml as `docker compose` does, schema and all.
func compose(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"docker-compose.yml"}, cli.WithProfiles(profiles), cli.WithName("tgtrunk"))
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

func TestComposeMountsAndBuildsWhatExists(t *testing.T) {
	for name, service := range compose(t, "lab", "freeswitch").Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
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
