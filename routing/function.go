package routing

import (
	"slices"
	"strings"
)

// writableFunctions are the functions of Asterisk's dialplan that may stand where a variable is set: others could write
// files or run commands (FILE, SHELL).
var writableFunctions = []string{"CALLERID", "CDR", "CHANNEL", "CONNECTEDLINE", "GROUP", "JITTERBUFFER", "PJSIP_HEADER", "REDIRECTING"}

// DialplanFunction reports whether a name is that of a harmless function of Asterisk's dialplan with its argument, such as
// CDR(userfield) or PJSIP_HEADER(add,X-Case), so that it may be set like a variable.
func DialplanFunction(name string) bool {
	function, argument, _ := strings.Cut(name, "(")
	argument, closed := strings.CutSuffix(argument, ")")
	if !closed || len(argument) > 64 || !slices.Contains(writableFunctions, function) {
		return false
	}
	for i := range len(argument) {
		if c := argument[i]; !isLetter(c) && !isDigit(c) && !strings.ContainsRune("_-,", rune(c)) {
			return false
		}
	}
	return true
}

// handedOver reports whether Asterisk hands what a function has set over to the half of a Local channel that runs the
// dialplan (core_unreal.c, ast_unreal_call_setup): caller, connected line, redirections, language and the like are, but
// detail records, groups, headers and jitter buffers are each half's own.
func handedOver(name string) bool {
	function, _, _ := strings.Cut(name, "(")
	return slices.Contains([]string{"CALLERID", "CHANNEL", "CONNECTEDLINE", "REDIRECTING"}, function)
}
