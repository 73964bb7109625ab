// Package records keeps the records of calls in a file of JSON lines, and reads them back.
//
// It does: append one line a call, on disk before the next batch begins; go on in a new file when the old one has been
// moved away, or when it is told to; move it away itself at a size; keep lines that cannot be written until they can,
// and count those that are given up; read the file, those that it was rotated to, and what is added while it reads.
//
// It does not: decide what a record says (package bridge), send it anywhere (package webhook), or stop a call that it
// cannot write down.
package records
