// Package freeswitch holds the configuration files that FreeSWITCH needs for tgtrunk.
//
// It does: embed them, fill in addresses and passwords, compare them with a configuration directory, and put there what
// is missing.
// It does not: talk to FreeSWITCH, start it, or know tgtrunk's own configuration. It overwrites nothing of anybody
// without a copy.
package freeswitch
