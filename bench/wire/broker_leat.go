package main

import "fmt"

// leat is `leat serve` with its defaults: everything is fsynced before it is
// acknowledged.
func leat() system {
	return system{
		name: "leat",
		command: func(w *workshop, dir string, port int) []string {
			args := []string{w.leat, "serve", "--dir", dir, "--listen", fmt.Sprintf("127.0.0.1:%d", port)}
			return append(args, w.leatFlags...)
		},
	}
}
