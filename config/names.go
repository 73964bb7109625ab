package config

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Names is one name, or a list of them: sales, or [sales, support].
type Names []string

// UnmarshalYAML reads both forms.
func (n *Names) UnmarshalYAML(node ast.Node) error {
	var one string
	if _, list := node.(*ast.SequenceNode); !list {
		if err := yaml.NodeToValue(node, &one); err != nil {
			return err
		}
		*n = Names{one}
		return nil
	}
	var all []string
	if err := yaml.NodeToValue(node, &all); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, name := range all {
		if seen[name] {
			return &lineError{line: lineOfNode(node), text: fmt.Sprintf("%q is listed twice", name)}
		}
		seen[name] = true
	}
	*n = all
	return nil
}

// orNone is the names, or one that is nobody's, for the check that follows to complain about.
func (n Names) orNone() []string {
	if len(n) == 0 {
		return []string{""}
	}
	return n
}
