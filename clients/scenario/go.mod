module github.com/leatlog/leat/clients/scenario

go 1.26.0
