// Package config reads tgtrunk.yaml: one file, decoded strictly, every error with its line.
//
// It does: unknown keys, wrong types and contradictions refused; defaults filled in; secrets taken from the
// environment, from files or from systemd credentials; every mistake of a file reported at once.
// It does not: open connections, decide routes (package routing judges those), or watch the file.
package config
