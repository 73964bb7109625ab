package storetest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Commands returns how often each command was run since the server started, those in scripts too, by the name that INFO
// commandstats gives it.
func (r *Redis) Commands() map[string]int {
	r.t.Helper()
	counts := map[string]int{}
	for line := range strings.Lines(r.info("commandstats")) {
		name, facts, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(facts, ",")
		n, err := strconv.Atoi(number)
		if err != nil {
			r.t.Fatalf("redis-server counts %q", line)
		}
		counts[name] = n
	}
	return counts
}

// CPU returns the processor time that the server has used.
func (r *Redis) CPU() time.Duration {
	r.t.Helper()
	var sum float64
	for line := range strings.Lines(r.info("cpu")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				r.t.Fatalf("redis-server has used %q", line)
			}
			sum += seconds
		}
	}
	return time.Duration(sum * float64(time.Second))
}

func (r *Redis) info(section string) string {
	r.t.Helper()
	return r.Do("INFO " + section)
}

// Do sends a command, its words with spaces between, to a server without password and TLS, and returns the answer: a
// text or a number.
func (r *Redis) Do(command string) string {
	r.t.Helper()
	text, err := do(r.Addr, command)
	if err != nil {
		r.t.Fatalf("redis-server: %s: %v", command, err)
	}
	return text
}

func do(addr, command string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, startIn)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startIn)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return "", err
	}
	answer := bufio.NewReader(conn)
	head, err := answer.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := head[0], strings.TrimSpace(head[1:])
	switch kind {
	case '+', ':':
		return rest, nil
	case '$':
		size, err := strconv.Atoi(rest)
		if err != nil || size < 0 {
			return "", fmt.Errorf("answers %q", head)
		}
		body := make([]byte, size)
		_, err = io.ReadFull(answer, body)
		return string(body), err
	}
	return "", fmt.Errorf("answers %q", head)
}
