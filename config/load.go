package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Problem is one mistake in a configuration file.
type Problem struct {
	Path string // the file
	Line int    // 0 where the mistake is no single line's
	Text string // what is wrong and what to do
}

// Error names file and line as compilers do.
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.Path + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text)
}

// Problems are all the mistakes of a file, in the order of their lines.
type Problems []Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Load reads, decodes and checks a configuration file. The error is of type Problems where the file could be read.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if text, err = plainText(text); err != nil {
		return nil, Problems{{Path: path, Text: err.Error()}}
	}
	return parse(path, text)
}

func parse(path string, text []byte) (*Config, error) {
	c := &Config{}
	root, problems := decode(path, text, c)
	if len(problems) > 0 {
		return nil, problems
	}
	c.fillDefaults()
	check := checker{config: c, root: root}
	check.all()
	if len(check.problems) > 0 {
		sort.SliceStable(check.problems, func(i, j int) bool { return check.problems[i].Line < check.problems[j].Line })
		return nil, check.problems
	}
	return c, nil
}

// decode reads yaml into c and returns the document. The library panics on some texts that are no sensible yaml, such as
// a tag with a comment in the place of a list.
func decode(path string, text []byte, c *Config) (root ast.Node, problems Problems) {
	defer func() {
		if p := recover(); p != nil {
			problems = Problems{{Path: path, Text: fmt.Sprintf(
				"this is no yaml that can be read (%v): look for tags (!), anchors and comments at odd places", p)}}
		}
	}()
	root, err := document(text)
	if err != nil {
		return nil, Problems{located(path, nil, err)}
	}
	if problems = rewritten(path, root); len(problems) > 0 {
		return nil, problems
	}
	fresh := func() { *c = Config{Path: path, Guard: defaultGuard()} }
	fresh()
	err = yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(c)
	problems, err = withoutUnknown(path, root, err, func() error {
		fresh()
		return yaml.NewDecoder(strings.NewReader(""), yaml.Strict()).DecodeFromNode(root, c)
	})
	if err != nil {
		problems = append(problems, located(path, root, err))
	}
	return root, problems
}

// document parses the text, which is one yaml document.
func document(text []byte) (ast.Node, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, errors.New("one yaml document is expected; see docs/configuration.md for an example")
	}
	return file.Docs[0].Body, nil
}

// located turns an error of the yaml library into a problem with its line; root is nil where there is no document.
func located(path string, root ast.Node, err error) Problem {
	var value *lineError
	if errors.As(err, &value) {
		return Problem{Path: path, Line: value.line, Text: value.text}
	}
	var at yaml.Error
	if errors.As(err, &at) {
		if token := at.GetToken(); token != nil {
			return Problem{Path: path, Line: token.Position.Line, Text: inWords(root, at)}
		}
	}
	if root != nil {
		if token := durationAt(root, err); token != nil {
			return Problem{Path: path, Line: token.Position.Line, Text: expected(root, token, aDuration)}
		}
	}
	return Problem{Path: path, Text: oneLine(err.Error())}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// lineOf returns the line of a value in the document, such as "routes", 2, "context"; of the nearest part of the way
// to it that exists where it does not.
func lineOf(node ast.Node, way ...any) int {
	line := lineOfNode(node)
	for _, step := range way {
		node = child(node, step)
		if node == nil {
			return line
		}
		line = lineOfNode(node)
	}
	return line
}

func lineOfNode(node ast.Node) int {
	if token := node.GetToken(); token != nil && token.Position != nil {
		return token.Position.Line
	}
	return 0
}

func child(node ast.Node, step any) ast.Node {
	if pair, ok := node.(*ast.MappingValueNode); ok {
		node = ast.Mapping(pair.Start, false, pair)
	}
	switch node := node.(type) {
	case *ast.MappingNode:
		name, ok := step.(string)
		if !ok {
			return nil
		}
		for _, pair := range node.Values {
			if pair.Key.GetToken().Value == name {
				if mapping, ok := pair.Value.(*ast.MappingNode); ok && !mapping.IsFlowStyle {
					return mapping
				}
				return pair.Value
			}
		}
	case *ast.SequenceNode:
		if index, ok := step.(int); ok && index < len(node.Values) {
			return firstPair(node.Values[index])
		}
	}
	return nil
}

// firstPair makes the line of a list entry that of its first key.
func firstPair(node ast.Node) ast.Node {
	if mapping, ok := node.(*ast.MappingNode); ok && len(mapping.Values) > 0 {
		return ast.Mapping(mapping.Values[0].Key.GetToken(), mapping.IsFlowStyle, mapping.Values...)
	}
	return node
}
