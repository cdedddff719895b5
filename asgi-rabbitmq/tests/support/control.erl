%% Evaluates expressions on nodes of Erlang. Each line of standard input is the name of a node, a
%% space and an expression; each line of standard output is `ok` and the value in JSON, or `error`
%% and what was wrong.
io:setopts([{encoding, utf8}]),
Parse = fun(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    Expressions
end,
Call = fun(Node, Module, Function, Arguments) ->
    case rpc:call(Node, Module, Function, Arguments, 60000) of
        {badrpc, Reason} -> throw(Reason);
        Value -> Value
    end
end,
Answer = fun(Line) ->
    try
        [Name, Text] = string:split(string:trim(Line), " "),
        Node = list_to_atom(Name),
        {value, Value, _} = Call(Node, erl_eval, exprs, [Parse(Text), []]),
        ["ok ", Call(Node, rabbit_json, encode, [Value])]
    catch
        _:Reason -> io_lib:format("error ~0tp", [Reason])
    end
end,
Loop = fun Loop() ->
    case io:get_line("") of
        eof -> halt(0);
        Line -> io:format("~ts~n", [Answer(Line)]), Loop()
    end
end,
Loop().
