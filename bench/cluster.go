package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"time"
)

// clusterNodes is how many nodes a cluster has, and its replication factor.
const clusterNodes = 3

// ClusterSystems returns the systems that replicate, each three nodes in this
// process which talk over loopback, with every record on all three.
func ClusterSystems() []System {
	return []System{
		leatCluster(),
		jetStreamCluster(false),
		jetStreamCluster(true),
	}
}

// freeAddrs returns n loopback addresses that nobody listened on a moment ago.
func freeAddrs(n int) (addrs []string, err error) {
	for range n {
		ln, listenErr := net.Listen("tcp", "127.0.0.1:0")
		if listenErr != nil {
			return nil, listenErr
		}
		// All are held until all are known, so that none comes twice.
		defer func() { err = errors.Join(err, ln.Close()) }()
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}

// nodeDir makes the directory of a node.
func nodeDir(parent string, node int) (string, error) {
	dir := filepath.Join(parent, fmt.Sprintf("node%d", node))
	return dir, os.MkdirAll(dir, 0o755)
}

// processorTime returns how long this process has kept processors busy, in its
// own code and in the kernel's.
func processorTime() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, os.NewSyscallError("getrusage", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
