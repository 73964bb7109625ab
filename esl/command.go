package esl

import (
	"fmt"
	"strings"
)

// command joins a command and its arguments. Whatever holds a control character is refused: a line end would begin a
// header, or another command.
func command(words ...string) (string, error) {
	line := strings.Join(words, " ")
	for _, r := range line {
		if r < ' ' || r == 0x7f {
			return "", fmt.Errorf("command %s: an argument holds a control character", firstWord(line))
		}
	}
	return line, nil
}

// firstWord is the part of a command that may stand in errors and logs.
func firstWord(line string) string {
	name, _, _ := strings.Cut(line, " ")
	return name
}

// refusal returns the error in the answer to an API command; nil for everything that is no refusal, as the plain values
// of some commands.
func refusal(line, answer string) error {
	if strings.HasPrefix(answer, "-ERR") || strings.HasPrefix(answer, "-USAGE") {
		return &CommandError{Command: firstWord(line), Answer: strings.TrimSpace(answer)}
	}
	return nil
}
