module github.com/leatlog/leat

go 1.26
