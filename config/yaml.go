package config

import (
	"bytes"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// plainText takes off the byte order mark that editors on Windows write.
func plainText(text []byte) ([]byte, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("this is no text in UTF-8: save it as UTF-8 (not UTF-16)")
	}
	return text, nil
}

// plainNumber is a number that stays as it is written.
var plainNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

// rewritten finds the numbers that yaml would not hand over as they are written: 0100 is 64 to it, and +49 is 49. The value
// is not repeated, for it may be a secret.
func rewritten(path string, root ast.Node) Problems {
	var found Problems
	var last string // of the keys
	ast.Walk(visit(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.MappingValueNode:
			last = n.Key.GetToken().Value
		case *ast.IntegerNode, *ast.FloatNode:
			at := n.GetToken()
			if !plainNumber.MatchString(at.Value) {
				found = append(found, Problem{Path: path, Line: at.Position.Line, Text: last +
					": put this number in quotes: without them yaml makes another one of it (leading 0, +, _, 0x or a dot)"})
			}
		}
	}), root)
	return found
}

type visit func(ast.Node)

// Visit implements ast.Visitor.
func (v visit) Visit(n ast.Node) ast.Visitor { v(n); return v }

// withoutUnknown decodes the document anew without each key that there is none of, until nothing or something else is wrong,
// and returns the problems with those keys.
func withoutUnknown(path string, root ast.Node, err error, decode func() error) (Problems, error) {
	var found Problems
	var unknown *yaml.UnknownFieldError
	for errors.As(err, &unknown) {
		found = append(found, located(path, root, err))
		if !remove(root, unknown.Token) {
			return found, nil
		}
		err = decode()
	}
	return found, err
}

// remove takes a key and what is below it out of the document.
func remove(root ast.Node, key *token.Token) bool {
	var done bool
	ast.Walk(visit(func(n ast.Node) {
		mapping, ok := n.(*ast.MappingNode)
		if !ok || done {
			return
		}
		for i, pair := range mapping.Values {
			if at := pair.Key.GetToken(); at.Value == key.Value && *at.Position == *key.Position {
				mapping.Values = append(mapping.Values[:i:i], mapping.Values[i+1:]...)
				done = true
				return
			}
		}
	}), root)
	return done
}

// inWords says what an error of the yaml library means, for those of its errors that speak of Go.
func inWords(root ast.Node, err yaml.Error) string {
	var want string
	var mistyped *yaml.TypeError
	var overflow *yaml.OverflowError
	var shape *yaml.UnexpectedNodeTypeError
	switch {
	case errors.As(err, &mistyped):
		want = wanted(mistyped.DstType)
	case errors.As(err, &overflow):
		want = "a smaller number"
	case errors.As(err, &shape) && shape.Expected == ast.MappingType:
		want = "a section with keys of its own"
	case errors.As(err, &shape) && shape.Expected == ast.SequenceType:
		want = "a list"
	default:
		text := oneLine(err.GetMessage())
		if strings.Contains(text, "cannot start any token") && strings.Contains(err.GetToken().Origin, "\t") {
			text = "a tab: yaml is indented by spaces"
		}
		return text
	}
	return expected(root, err.GetToken(), want)
}

// expected says what should stand at a place of the document.
func expected(root ast.Node, at *token.Token, want string) string {
	if key := keyAbove(root, at); key != "" {
		return key + ": " + want + " is expected here"
	}
	return want + " is expected here"
}

const aDuration = "a duration with its unit, such as 0s, 30s or 24h,"

func wanted(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return aDuration
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map, reflect.Pointer:
		return "a section with keys of its own"
	default:
		return "text"
	}
}

// durationAt finds the text that could not be read as a duration: the library does not say where that stands.
func durationAt(root ast.Node, err error) *token.Token {
	var at *token.Token
	ast.Walk(visit(func(n ast.Node) {
		if text, ok := n.(*ast.StringNode); ok && at == nil {
			if _, same := time.ParseDuration(text.Value); same != nil && same.Error() == err.Error() {
				at = text.GetToken()
			}
		}
	}), root)
	return at
}

// keyAbove is the key whose value begins at a place of the document, or in whose list it stands.
func keyAbove(root ast.Node, at *token.Token) string {
	if root == nil {
		return ""
	}
	var key string
	ast.Walk(visit(func(n ast.Node) {
		pair, ok := n.(*ast.MappingValueNode)
		if ok && pair.Key.GetToken().Position.Offset <= at.Position.Offset {
			key = pair.Key.GetToken().Value
		}
	}), root)
	return key
}

// writtenZero says whether a value stands in the file, and is 0 or 0s.
func writtenZero(root ast.Node, way []any) bool {
	for _, step := range way {
		if root = child(root, step); root == nil {
			return false
		}
	}
	switch n := root.(type) {
	case *ast.IntegerNode:
		return n.GetToken().Value == "0"
	case *ast.StringNode:
		d, err := time.ParseDuration(n.Value)
		return err == nil && d == 0
	}
	return false
}
