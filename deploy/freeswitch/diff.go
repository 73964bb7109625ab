package freeswitch

import (
	"fmt"
	"slices"
	"strings"
)

// diffContext is how many unchanged lines stand around a change.
const diffContext = 3

// line is one of a difference: ' ' in both texts, '-' in the first, '+' in the second.
type line struct {
	kind byte
	text string
}

// unified returns the unified difference of two texts, "" where there is none.
func unified(from, to, before, after string) string {
	if before == after {
		return ""
	}
	lines := compare(splitLines(before), splitLines(after))
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", from, to)
	for begin := 0; begin < len(lines); {
		first := slices.IndexFunc(lines[begin:], func(l line) bool { return l.kind != ' ' })
		if first < 0 {
			break
		}
		start, end := max(begin, begin+first-diffContext), begin+first
		for quiet := 0; end < len(lines) && quiet <= 2*diffContext; end++ {
			quiet++
			if lines[end].kind != ' ' {
				quiet = 0
			}
		}
		for end > start && lines[end-1].kind == ' ' {
			end--
		}
		end = min(len(lines), end+diffContext)
		writeHunk(&out, lines, start, end)
		begin = end
	}
	return out.String()
}

func writeHunk(out *strings.Builder, lines []line, start, end int) {
	count := func(part []line, other byte) (n int) {
		for _, l := range part {
			if l.kind != other {
				n++
			}
		}
		return n
	}
	place := func(other byte) string {
		first, n := count(lines[:start], other)+1, count(lines[start:end], other)
		if n == 0 {
			first-- // of nothing, diff names the line before it
		}
		return fmt.Sprintf("%d,%d", first, n)
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", place('+'), place('-'))
	for _, l := range lines[start:end] {
		fmt.Fprintf(out, "%c%s\n", l.kind, l.text)
	}
}

// noNewline marks a last line without an end, as diff does.
const noNewline = "\n\\ No newline at end of file"

func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	if last := len(lines) - 1; lines[last] == "" {
		return lines[:last]
	}
	lines[len(lines)-1] += noNewline
	return lines
}

// compare finds the longest common subsequence; the files have some hundred lines.
func compare(a, b []string) []line {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var lines []line
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			lines = append(lines, line{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			lines = append(lines, line{'-', a[i]})
			i++
		default:
			lines = append(lines, line{'+', b[j]})
			j++
		}
	}
	return lines
}
