package voip

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLogs lets pion's packages log at debug level: what they call errors are mostly everyday events of ICE, and what
// matters of them reaches us as a state or an error.
type pionLogs struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (p pionLogs) NewLogger(scope string) logging.LeveledLogger {
	return pionLog{p.log.With("pion", scope)}
}

type pionLog struct{ log *slog.Logger }

func (l pionLog) put(message string) { l.log.Debug(message) }

func (l pionLog) putf(format string, args []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(format, args...))
	}
}

// Trace implements logging.LeveledLogger; traces and debug messages of pion are dropped.
func (l pionLog) Trace(string)          {}
func (l pionLog) Tracef(string, ...any) {}
func (l pionLog) Debug(string)          {}
func (l pionLog) Debugf(string, ...any) {}

// Info implements logging.LeveledLogger.
func (l pionLog) Info(m string)                { l.put(m) }
func (l pionLog) Infof(f string, args ...any)  { l.putf(f, args) }
func (l pionLog) Warn(m string)                { l.put(m) }
func (l pionLog) Warnf(f string, args ...any)  { l.putf(f, args) }
func (l pionLog) Error(m string)               { l.put(m) }
func (l pionLog) Errorf(f string, args ...any) { l.putf(f, args) }
