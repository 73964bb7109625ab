package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Secret is a value that never shows itself: it prints as "***" everywhere. In yaml it is the text itself,
// {env: NAME}, {file: PATH} or {credential: NAME} (a systemd credential).
type Secret struct{ value string }

// NewSecret makes a Secret of a text.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the secret text.
func (s Secret) Reveal() string { return s.value }

// String hides the secret.
func (Secret) String() string { return "***" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "***" }

// MarshalText hides the secret from encoders and structured logs.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

type secretSource struct {
	Env        string `yaml:"env"`
	File       string `yaml:"file"`
	Credential string `yaml:"credential"`
}

// lineError keeps the line of a value that is no good.
type lineError struct {
	line int
	text string
}

func (e *lineError) Error() string { return e.text }

// UnmarshalYAML reads the forms of a secret.
func (s *Secret) UnmarshalYAML(node ast.Node) error {
	var err error
	switch node := node.(type) {
	case *ast.StringNode:
		s.value = node.Value
	case *ast.MappingNode, *ast.MappingValueNode:
		var source secretSource
		if err = yaml.NodeToValue(node, &source, yaml.Strict()); err == nil {
			s.value, err = source.read()
		}
	default:
		err = errors.New("write the secret in quotes, or say {env: NAME}, {file: PATH} or {credential: NAME}")
	}
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) {
			return &lineError{line: lineOfNode(node), text: oneLine(at.GetMessage())}
		}
		return &lineError{line: lineOfNode(node), text: err.Error()}
	}
	return nil
}

func (s secretSource) read() (string, error) {
	path := s.File
	switch s {
	case secretSource{}:
		return "", errors.New("a secret has a source: {env: NAME}, {file: PATH} or {credential: NAME}")
	case secretSource{Env: s.Env}:
		value, ok := os.LookupEnv(s.Env)
		if !ok || value == "" {
			return "", fmt.Errorf("environment variable %s is not set", s.Env)
		}
		return value, nil
	case secretSource{File: s.File}:
	case secretSource{Credential: s.Credential}:
		directory := os.Getenv("CREDENTIALS_DIRECTORY")
		if directory == "" {
			return "", errors.New("a credential needs systemd (LoadCredential=): CREDENTIALS_DIRECTORY is not set")
		}
		path = filepath.Join(directory, filepath.Base(s.Credential))
	default:
		return "", errors.New("a secret has one source: env, file or credential")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	value := strings.TrimSpace(string(text))
	if value == "" {
		return "", fmt.Errorf("secret file %s is empty", path)
	}
	return value, nil
}
