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

// info asks a server without password and TLS for a section of INFO.
func (r *Redis) info(section string) string {
	r.t.Helper()
	text, err := func() (string, error) {
		conn, err := net.DialTimeout("tcp", r.Addr, startIn)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(startIn)); err != nil {
			return "", err
		}
		if _, err := fmt.Fprintf(conn, "INFO %s\r\n", section); err != nil {
			return "", err
		}
		answer := bufio.NewReader(conn)
		head, err := answer.ReadString('\n')
		if err != nil {
			return "", err
		}
		size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
		if err != nil {
			return "", fmt.Errorf("answers %q", head)
		}
		body := make([]byte, size)
		_, err = io.ReadFull(answer, body)
		return string(body), err
	}()
	if err != nil {
		r.t.Fatalf("ask redis-server for %s: %v", section, err)
	}
	return text
}
