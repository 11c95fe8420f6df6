package replication

import (
	"log/slog"
	"os"
)

func init() {
	if os.Getenv("RLOG") != "" {
		debugLogger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

var debugLogger *slog.Logger
