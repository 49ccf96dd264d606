/** Components that are drawn again only where `isSame` says that they would look different. */
import { Component, type ComponentChildren, type ComponentClass } from 'preact';

export function pure<P>(
  isSame: (one: P, other: P) => boolean,
  draw: (props: P) => ComponentChildren,
): ComponentClass<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return !isSame(this.props, next);
    }
    override render(): ComponentChildren {
      return draw(this.props);
    }
  };
}
